"""In a company, HTTP_PROXY is set and NO_PROXY is not: the proxy knows the exchange, and nothing of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator

import httpx
import pytest
import requests
import yaml  # type: ignore[import-untyped]

from tests.support.proxy import MARKETS, VARIABLES, Proxy, company_proxy
from tests.unit.stack.conftest import Stub, stack, stub
from upbit_elt.clock import Deadline
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.flows.forecast_candle import request_forecast
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import environment, health, plan, status
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings

__all__ = ["stack", "stub"]  # fixtures
WEBHDFS = "/webhdfs/v1"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """The environment of such a machine."""
    with company_proxy() as one:
        for name in (*VARIABLES, *map(str.lower, VARIABLES)):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, one.url)
            monkeypatch.setenv(name.upper(), one.url)
        yield one


def beans(**values: object) -> tuple[int, object]:
    return 200, {"beans": [values]}


@pytest.fixture
def services(stub: Stub) -> Stub:
    """All of our own services on one port, all well."""
    stub.answers |= {
        "GET /jmx": beans(
            FSState="Operational", NumLiveDataNodes=1, BPServiceActorInfo=json.dumps([{"ActorState": "RUNNING"}])
        ),
        f"PUT {WEBHDFS}/_probe": (200, {"Location": f"{stub.url}{WEBHDFS}/_probe"}),
        f"GET {WEBHDFS}/": (200, {"FileStatuses": {}}),
        "GET /readyz/services": (200, {}),
        "GET /api/v2/monitor/health": (
            200,
            {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "healthy"}},
        ),
        "GET /api/v1/status": (200, {"markets": 3}),
        "POST /api/v1/forecasts": (200, {"rows": 9}),
        "POST /auth/token": (201, {"access_token": "t"}),
        "GET /api/v2/dags": (200, {"dags": []}),
        "GET /v1/market/all": (200, MARKETS),
    }
    return stub


FetchRequest = Callable[[Stub, StackSettings], object]
OURS: dict[str, tuple[FetchRequest, object]] = {
    "NameNode": (lambda stub, _: health.namenode(stub.url)(), None),
    "DataNode": (lambda stub, _: health.datanode(stub.url, stub.url, "upbit")(), None),
    "page": (lambda stub, _: health.page(stub.url)(), None),
    "replica": (lambda stub, _: health.replica(stub.url)(), None),
    "scheduler": (lambda stub, _: health.AirflowHealth(stub.url).part("scheduler")(), None),
    "Airflow's API": (lambda stub, _: AirflowApi(stub.url, "secret").dags(), {}),
    "status": (lambda stub, stack: status.progress(at(stub, stack)).markets, 3),
    "forecast": (lambda stub, _: request_forecast(stub.url, "token"), {"rows": 9}),
    "candles of the replica": (lambda stub, stack: markets(stub.url, stack), ["KRW-BTC"]),
}


def at(stub: Stub, stack: StackSettings) -> StackSettings:
    return stack.model_copy(update={"flask_port": int(stub.url.rpartition(":")[2])})


def markets(url: str, stack: StackSettings) -> list[str]:
    dataset = "replica" if "127.0.0.1" in url else "x_exchange_test"
    client = UpbitClient.from_settings(Settings(base_url=url, dataset=dataset, state_dir=stack.data_dir))
    found = [market.market for market in client.within(Deadline(client.clock, 20), attempts=1).markets()]
    client.close()
    return found


@pytest.mark.parametrize("name", OURS)
def test_requests_to_our_own_services_pass_by_the_proxy(
    name: str, services: Stub, stack: StackSettings, proxy: Proxy
) -> None:
    call, expected = OURS[name]
    assert (call(services, stack), proxy.requests) == (expected, [])


def test_files_come_directly_from_the_datanode_that_the_namenode_names(services: Stub, proxy: Proxy) -> None:
    services.locations[f"GET {WEBHDFS}/a"] = f"{services.url.replace('127.0.0.1', 'localhost')}/data/a"
    services.answers |= {f"GET {WEBHDFS}/a": (307, {}), "GET /data/a": (200, "seven")}
    assert Lake.from_settings(Settings(webhdfs_url=services.url)).read("/a") == b"seven"
    assert proxy.requests == []


def test_requests_to_the_exchange_go_by_the_proxy(stack: StackSettings, proxy: Proxy) -> None:
    assert markets("http://exchange.test", stack) == ["KRW-BTC"]
    assert health.exchange("http://exchange.test")() is None
    assert {line.partition("?")[0] for line in proxy.requests} == {"GET http://exchange.test/v1/market/all"}


@pytest.mark.parametrize(
    ("script", "service", "variables"),
    [
        ("docker/app/health.py", "airflow-scheduler", ("UPBIT_AIRFLOW_URL", "{url}")),
        ("docker/hadoop/health.py", "datanode", ("STACK_DATANODE_HTTP_PORT", "{port}")),
    ],
)
def test_the_health_check_of_a_container_reaches_its_service(
    script: str, service: str, variables: tuple[str, str], services: Stub, proxy: Proxy
) -> None:
    name, value = variables
    here = {name: value.format(url=services.url, port=services.url.rpartition(":")[2])}
    command = [sys.executable, str(REPO / script), service]
    done = subprocess.run(command, env=os.environ | here, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, proxy.requests) == (0, "", [])


def ask_as_libraries_do(url: str) -> None:
    """Requests as Airflow's tasks (httpx) and packages of others (requests) make them."""
    with httpx.Client() as client:
        assert client.get(f"{url}/jmx").status_code == 200
    assert requests.get(f"{url}/jmx", timeout=10).status_code == 200


@pytest.mark.parametrize("given", [None, "intern.example", "*"])
def test_other_libraries_reach_the_services_of_run_directly(
    given: str | None, services: Stub, stack: StackSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    if given:
        monkeypatch.setenv("NO_PROXY", given)
    variables = plan.make(stack, Choice("replica", None)).variables
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for host in ("127.0.0.1", "localhost"):
        ask_as_libraries_do(services.url.replace("127.0.0.1", host))
    assert proxy.requests == []
    assert variables["no_proxy"] == variables["NO_PROXY"]
    assert not given or given in variables["NO_PROXY"]


def test_a_socks_proxy_stops_no_task(services: Stub, stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    for name, value in plan.make(stack, Choice("replica", None)).variables.items():
        monkeypatch.setenv(name, value)
    ask_as_libraries_do(services.url)


def test_another_proxy_makes_another_plan(stack: StackSettings, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    first = plan.make(stack, Choice("replica", None)).digest
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    assert plan.make(stack, Choice("replica", None)).digest != first, "a running stack would keep the old one"


def test_a_machine_without_a_proxy_gets_no_variables(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.lower, VARIABLES)):
        monkeypatch.delenv(name, raising=False)
    assert environment.proxies() == {}


def test_in_compose_every_python_service_names_our_own_hosts() -> None:
    """Docker's config.json gives each container HTTP_PROXY and http_proxy; what a service sets goes first."""
    compose = yaml.safe_load((REPO / "docker-compose.yml").read_text())
    environments = {name: one.get("environment", {}) for name, one in compose["services"].items()}
    ours = {name: variables for name, variables in environments.items() if "UPBIT_BASE_URL" in variables}
    assert {"airflow-scheduler", "airflow-worker", "flask", "hdfs-init"} <= set(ours)
    for variables in ours.values():
        for name in ("NO_PROXY", "no_proxy"):
            hosts = variables[name].removeprefix("${NO_PROXY:+${NO_PROXY:-},}").split(",")
            assert {"localhost", "127.0.0.1", "namenode", "airflow-apiserver", "flask", "replica"} <= set(hosts)
