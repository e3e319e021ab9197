"""Clients of WebHDFS: as a named user, with a delegation token, or with Kerberos."""

from __future__ import annotations

from typing import Any, Literal, get_args

import hdfs
import requests

from upbit_elt.direct import direct_session
from upbit_elt.errors import ConfigError

Auth = Literal["insecure", "token", "kerberos"]
TIMEOUT = 30.0
# HDFS changes nothing without it (dfs.webhdfs.rest-csrf.enabled): a page in a browser cannot send it to another site.
CSRF_HEADER = {"X-XSRF-HEADER": "upbit-elt"}


class Operations(hdfs.Client):  # type: ignore[misc] # the library has no types
    """Two operations of WebHDFS that the library knows, but does not offer in the form that is needed here."""

    def list_status(self, folder: str) -> list[dict[str, Any]]:
        """The rows of a folder's listing; the library's `list` sends a second request for a folder with one name."""
        rows: list[dict[str, Any]] = self._list_status(folder).json()["FileStatuses"]["FileStatus"]
        return rows

    def rename_with(self, source: str, target: str, options: Literal["NONE", "OVERWRITE"]) -> None:
        """Rename with `renameoptions`, which the library's `rename` omits: onto a folder, it would move into it."""
        self._rename(source, destination=target, renameoptions=options)


class InsecureClient(Operations, hdfs.InsecureClient):  # type: ignore[misc]
    """Sends a user's name, which HDFS trusts."""


class TokenClient(Operations, hdfs.TokenClient):  # type: ignore[misc]
    """Sends a delegation token."""


def connect(
    url: str,
    user: str,
    auth: Auth = "insecure",
    token: str = "",
    timeout: float = TIMEOUT,
    session: requests.Session | None = None,
) -> Operations:
    """Make a client of `url` (http or https; several NameNodes with `;` between them); nothing is sent yet.

    `insecure` sends the name `user`, which HDFS trusts. `token` sends a delegation token (`hdfs fetchdt`), which
    carries its user. `kerberos` takes the user of the ticket in the process's credential cache (`kinit`).
    https is checked against the CAs of `REQUESTS_CA_BUNDLE`. `timeout` is in seconds and holds for each response.

    Raises:
        ConfigError: `auth` is none of these, the token is missing, or the package for Kerberos is not installed.
    """
    session = session or direct_session()
    session.headers.update(CSRF_HEADER)
    session.hooks["response"].append(_reject_page)
    if auth == "insecure":
        return InsecureClient(url, user=user, timeout=timeout, session=session)
    if auth == "kerberos":
        client: Operations = _kerberos()(url, timeout=timeout, session=session)
        return client
    if auth != "token":
        raise ConfigError(f"webhdfs_auth is {auth!r}; allowed: {', '.join(get_args(Auth))}")
    if not token:
        raise ConfigError(
            "webhdfs_auth is token, but there is none: set UPBIT_ELT_WEBHDFS_TOKEN, "
            "or the password of the Connection upbit_webhdfs"
        )
    return TokenClient(url, token, timeout=timeout, session=session)


def _reject_page(response: requests.Response, *_: object, **__: object) -> None:
    """Raise on an HTML page with status 200: WebHDFS sends JSON, bytes or nothing, so the page is a proxy's."""
    if response.ok and response.headers.get("Content-Type", "").startswith("text/html"):
        raise requests.exceptions.ContentDecodingError(f"{response.url} gave a page: does a proxy stand between?")


def _kerberos() -> Any:
    try:
        from hdfs.ext.kerberos import KerberosClient  # noqa: PLC0415 - its package needs a compiler and Kerberos's headers
    except ImportError as error:
        raise ConfigError(
            f"webhdfs_auth is kerberos, but {error.name} is not installed: apt-get install gcc python3-dev libkrb5-dev "
            "&& pip install requests-kerberos"
        ) from error
    return type("KerberosClient", (Operations, KerberosClient), {})
