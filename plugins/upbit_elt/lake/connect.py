"""The way to WebHDFS: as a named user, with a delegation token, or with Kerberos."""

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


def connect(
    url: str,
    user: str,
    auth: Auth = "insecure",
    token: str = "",
    timeout: float = TIMEOUT,
    session: requests.Session | None = None,
) -> hdfs.Client:
    """A client of `url` (http or https; several NameNodes with `;` between them). Nothing is sent yet.

    `insecure` says the name `user` and is believed; `token` sends a delegation token (`hdfs fetchdt`), which carries
    its user; `kerberos` takes the user of the ticket in the process's credential cache (`kinit`).
    https is checked against the CAs of `REQUESTS_CA_BUNDLE`. `timeout` in seconds for each answer.

    Raises:
        ConfigError: `auth` is none of these, there is no token, or the package that Kerberos needs is not installed.
    """
    session = session or direct_session()
    session.headers.update(CSRF_HEADER)
    session.hooks["response"].append(_refuse_page)
    if auth == "insecure":
        return hdfs.InsecureClient(url, user=user, timeout=timeout, session=session)
    if auth == "kerberos":
        return _kerberos()(url, timeout=timeout, session=session)
    if auth != "token":
        raise ConfigError(f"webhdfs_auth is {auth!r}; allowed: {', '.join(get_args(Auth))}")
    if not token:
        raise ConfigError(
            "webhdfs_auth is token, but there is none: set UPBIT_ELT_WEBHDFS_TOKEN, "
            "or the password of the Connection upbit_webhdfs"
        )
    return hdfs.TokenClient(url, token, timeout=timeout, session=session)


def _refuse_page(response: requests.Response, *_: object, **__: object) -> None:
    """WebHDFS answers with JSON, bytes or nothing: a page with status 200 is a proxy's, and says nothing of HDFS."""
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
    return KerberosClient
