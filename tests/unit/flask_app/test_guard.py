"""What other sites' pages, framed pages and rebound names get from the service: nothing."""

from __future__ import annotations

import pytest

from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import TOKEN, World
from upbit_elt.settings import Settings

BEARER = {"Authorization": f"Bearer {TOKEN}"}
STRICT = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
# Headers of a browser whose user has a stranger's page open, by what that page does.
FETCH = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
FRAME = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
FORM = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
OTHER_PORT = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
OWN_PAGE = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 200),
        ("GET", "/static/page.js", 200),
        ("GET", "/static/vendor/plotly.min.js", 200),
        ("GET", "/api/v1/status", 200),
        ("GET", "/extract/upbit.hyper?days=8", 400),
        ("GET", "/static/nothing.js", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/v1/status", 405),
        ("POST", "/api/v1/forecasts", 401),
        ("GET", "/broken", 500),
    ],
)
def test_every_answer_has_the_strict_headers(empty_world: World, method: str, path: str, status: int) -> None:
    @empty_world.app.get("/broken")
    def broken() -> str:
        raise RuntimeError("something unforeseen")

    with empty_world.client.open(path, method=method) as response:
        assert response.status_code == status
        assert {name: response.headers[name] for name in STRICT} == STRICT
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert "unsafe" not in str(policy)


@pytest.mark.parametrize(
    "headers", [FETCH, FRAME, FORM, OTHER_PORT, {"Origin": "https://evil.example"}, {"Origin": "null"}]
)
def test_no_page_of_another_site_makes_a_forecast(forecasting: World, headers: dict[str, str]) -> None:
    body = problem(forecasting.client.post("/api/v1/forecasts", headers=BEARER | headers))
    assert (body["status"], body["type"]) == (403, "/problems/cross_site")
    assert forecasting.client.get("/api/v1/status").get_json()["forecast_origin"] is None


@pytest.mark.parametrize("headers", [FETCH, FRAME, OTHER_PORT])
@pytest.mark.parametrize("path", ["/extract/upbit.hyper?days=7", "/api/v1/candles?market=KRW-THIN", "/api/v1/status"])
def test_no_page_of_another_site_reads_or_makes_work(world: World, path: str, headers: dict[str, str]) -> None:
    assert problem(world.client.get(path, headers=headers))["type"] == "/problems/cross_site"
    assert world.hive.scanned == []


def test_a_link_from_another_site_opens_the_page(world: World) -> None:
    assert world.client.get("/", headers=FORM).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, OWN_PAGE, {"Origin": "http://localhost"}, OWN_PAGE | {"Origin": "https://behind.a.proxy"}]
)
def test_programs_and_our_own_page_are_answered(forecasting: World, headers: dict[str, str]) -> None:
    assert forecasting.client.post("/api/v1/forecasts", headers=BEARER | headers).status_code == 200


@pytest.mark.parametrize(
    "host", ["localhost:5000", "flask:5000", "127.0.0.1:5001", "[::1]:5000", "10.0.0.7", "page.localhost", "LOCALHOST"]
)
def test_names_that_no_stranger_owns_are_answered(empty_world: World, host: str) -> None:
    assert empty_world.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example:5000", "localhost.", "[::1", "a@evil.example"]
)
@pytest.mark.parametrize("path", ["/", "/api/v1/status", "/static/page.js", "/nothing"])
def test_a_name_made_to_resolve_to_this_machine_is_refused(empty_world: World, host: str, path: str) -> None:
    body = problem(empty_world.client.get(path, headers={"Host": host}))
    assert (body["status"], body["type"]) == (421, "/problems/wrong_host")
    assert "UPBIT_ELT_PAGE_URL" in body["detail"]


def test_the_names_of_the_settings_are_answered() -> None:
    world = World(page_url="https://upbit.example.com/", flask_url="http://flask.internal.example:5000")
    for host in ("upbit.example.com", "flask.internal.example:5000"):
        assert world.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "address", ["upbit.example.com", "ftp://upbit.example.com", "https://", "https://a:b@c.example"]
)
def test_an_invalid_page_url_is_an_error(address: str) -> None:
    with pytest.raises(ValueError, match="write https://HOST"):
        Settings.model_validate({"page_url": address})
