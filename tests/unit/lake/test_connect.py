"""What is sent to WebHDFS by each way of saying who we are; only the wire is a fake."""

from __future__ import annotations

import json
import sys
from types import ModuleType
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.auth import AuthBase

from tests.support.exchange import HandlerAdapter, Reply, session_on
from upbit_elt.errors import ConfigError
from upbit_elt.lake.connect import Auth, connect
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings

URL = "https://namenode:9871"


def namenode(path: str, query: dict[str, str]) -> Reply:
    """Lists an empty folder, and sends a writer on to a DataNode."""
    if path.startswith("/data"):
        return 201, b"", {}
    if query["op"] == "CREATE":
        return 307, b"", {"Location": "https://datanode:9865/data?op=CREATE"}
    return 200, json.dumps({"FileStatuses": {"FileStatus": []}}), {}


def sent(auth: Auth, token: str = "") -> list[requests.PreparedRequest]:
    """The requests of a list and a write."""
    wire = HandlerAdapter(namenode)
    client = connect(URL, "ann", auth, token, session=session_on(wire))
    client.list("/candle")
    client.write("/candle/a", data=b"x")
    return wire.requests


def query(request: requests.PreparedRequest) -> dict[str, list[str]]:
    return parse_qs(urlsplit(str(request.url)).query)


def test_a_user_name_is_said() -> None:
    listed, created, written = sent("insecure")
    assert query(listed) == {"op": ["LISTSTATUS"], "user.name": ["ann"]}
    assert query(created)["user.name"] == ["ann"]
    assert str(written.url).startswith("https://datanode:9865/data"), "the NameNode names the DataNode, by https too"


def test_every_request_has_the_header_that_no_foreign_page_can_send() -> None:
    for request in sent("insecure") + sent("token", "dt-1"):
        assert request.headers["X-XSRF-HEADER"]


def test_a_delegation_token_carries_its_user() -> None:
    listed, created, written = sent("token", "dt-1")
    for request in (listed, created, written):
        assert query(request)["delegation"] == ["dt-1"]
        assert "user.name" not in query(request)


def test_a_missing_token_is_an_error_that_names_its_setting() -> None:
    with pytest.raises(ConfigError, match="UPBIT_ELT_WEBHDFS_TOKEN"):
        Lake.from_settings(Settings(webhdfs_auth="token"))


def test_an_unknown_way_to_log_in_is_an_error_that_names_it() -> None:
    wrong = Settings().model_copy(update={"webhdfs_auth": "kerberros"})  # as a Connection's extra may say
    with pytest.raises(ConfigError, match="'kerberros'; allowed: insecure, token, kerberos"):
        Lake.from_settings(wrong)


@pytest.fixture
def fresh_extension(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "hdfs.ext.kerberos", raising=False)


@pytest.mark.usefixtures("fresh_extension")
def test_without_the_kerberos_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests_kerberos", None)
    with pytest.raises(ConfigError, match=r"requests_kerberos is not installed: .*pip install requests-kerberos"):
        Lake.from_settings(Settings(webhdfs_auth="kerberos"))


@pytest.mark.usefixtures("fresh_extension")
def test_with_it_every_request_carries_a_ticket(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ticket(AuthBase):
        """Stands in for the package's own, which needs a KDC."""

        def __init__(self, mutual_authentication: int) -> None:
            assert mutual_authentication == 2

        def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
            request.headers["Authorization"] = "Negotiate ticket"
            return request

    package = ModuleType("requests_kerberos")
    package.HTTPKerberosAuth, package.OPTIONAL = Ticket, 2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "requests_kerberos", package)
    for request in sent("kerberos"):
        assert request.headers["Authorization"] == "Negotiate ticket"
        assert "user.name" not in query(request)
    monkeypatch.delitem(sys.modules, "hdfs.ext.kerberos")
