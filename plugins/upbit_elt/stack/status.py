"""The state of a stack: how far the data is, which service is healthy, and where everything is."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import requests
from pydantic import BaseModel
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from upbit_elt import direct
from upbit_elt.errors import StackError
from upbit_elt.exchange import clock_steps
from upbit_elt.stack import phase, preflight, processes, restarts
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.names import HOST
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.phase import Phase
from upbit_elt.stack.plan import StackPlan
from upbit_elt.stack.restarts import Restart
from upbit_elt.stack.services import Service
from upbit_elt.stack.supervision import State, Supervisor

FLASK_TIMEOUT = 20.0


class ServiceStatus(BaseModel):
    """One service; `trouble` says in words what is wrong, null when it is healthy.

    `restarted` is its last restart by the watchdog since `./run`, because it hung; null when there was none.
    """

    name: str
    healthy: bool
    pid: int | None
    rss_mb: float
    trouble: str | None = None
    restarted: Restart | None = None


class FailedDag(BaseModel):
    """The last error of a DAG that fails, and when (UTC, ending in Z) it failed."""

    dag: str
    at: str
    error: str

    def __str__(self) -> str:
        return f"{self.dag} failed at {self.at}: {self.error}"


class DataProgress(BaseModel):
    """How far the data is, as Flask's `/api/v1/status` says it; times are UTC and end in Z, null before the first.

    `stale` is a sentence on the markets that are stale, since when and why; null when none is.
    """

    covered_until: str | None = None
    looked_until: str | None = None
    lag_seconds: int | None = None
    lag_worst_seconds: int | None = None
    listed_markets: int = 0
    stale_markets: int = 0
    stale_since: str | None = None
    stale: str | None = None
    forecast_origin: str | None = None
    forecast_stale: bool = False
    markets: int = 0
    candles_today: int = 0
    errors: list[FailedDag] = []

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the data, in words: stale markets, an old forecast, DAGs that fail."""
        old = f"the newest forecast is of {self.forecast_origin}" if self.forecast_stale else None
        return [*filter(None, (self.stale, old)), *map(str, self.errors)]


class Status(DataProgress):
    """Everything that `./run status --json` prints.

    `unknown` says in words why nobody knows how far the data is, whose fields are empty then; else null.
    """

    exchange: str
    unknown: str | None = None
    services: list[ServiceStatus]
    addresses: dict[str, str]
    clock: str | None = None  # in words, when somebody has set this machine's clock within a day
    disk: str | None = None  # in words, when the disk of the data folder is nearly full
    phase: Phase = Phase.UP

    @property
    def troubles(self) -> list[str]:
        """What is wrong with the data, in words, and before it a disk that is nearly full."""
        return [*filter(None, [self.disk]), *super().troubles]

    @property
    def healthy(self) -> bool:
        """Whether every service can do its work."""
        return bool(self.services) and all(service.healthy for service in self.services)

    @property
    def well(self) -> bool:
        """Whether every service can do its work, DAGs run, there is room, no market is stale and no DAG fails."""
        return self.healthy and self.phase is Phase.UP and not self.troubles and self.unknown is None


def read(stack: StackSettings, plan: StackPlan) -> Status:
    """Check every service of the plan, all at once."""
    alive = Supervisor(stack).alive()
    states = Supervisor(stack).states() if alive else {}
    known, step = restarts.known(stack), clock_steps.last_step(plan.settings.state_dir, datetime.now(UTC))
    with ThreadPoolExecutor(len(plan.services)) as pool:
        services = list(pool.map(lambda one: _service(one, states.get(one.name), known.get(one.name)), plan.services))
    data, unknown = _progress_if_up(stack, plan, services)
    return Status(
        exchange=plan.settings.dataset,
        unknown=unknown,
        services=services,
        addresses=addresses(stack, plan.settings.page_url),
        clock=str(step) if step else None,
        disk=preflight.low_disk(stack),
        phase=phase.find(stack, alive),
        **data.model_dump(),
    )


def progress(stack: StackSettings) -> DataProgress:
    """How far the data is.

    Raises:
        StackError: the Flask service does not say.
    """
    try:
        response = direct.request("GET", f"{stack.flask_url}/api/v1/status", timeout=FLASK_TIMEOUT)
        response.raise_for_status()
        return DataProgress.model_validate(response.json())
    except (requests.RequestException, ValueError) as error:
        raise StackError(f"{stack.flask_url}/api/v1/status gives no status ({type(error).__name__})") from error


def explained(stack: StackSettings, plan: StackPlan, found: DataProgress) -> DataProgress:
    """The same; when markets are stale and Airflow says that `min_candle` is paused, `stale` says so and what to do."""
    if found.stale is None:
        return found
    try:
        paused = AirflowApi(stack.airflow_url, plan.secrets.airflow_password).dags().get("min_candle", False)
    except StackError:  # the rows of Airflow's services say what is wrong
        return found
    words = (
        f"{found.stale}: min_candle is paused; switch it on in Airflow, or: ./run exec airflow dags unpause min_candle"
    )
    return found.model_copy(update={"stale": words}) if paused else found


def addresses(stack: StackSettings, page_url: str) -> dict[str, str]:
    """Where a user finds what; `page_url` is where browsers reach the page, as the settings of our code name it."""
    return {
        "airflow": stack.airflow_url,
        "page": page_url,
        "hive": f"{HOST}:{stack.hive_port}",
        "webhdfs": stack.webhdfs_url,
    }


def render(status: Status, console: Console) -> None:
    """Print a status for a person."""
    if status.phase is Phase.STOPPED:
        console.print(f"exchange [bold]{status.exchange}[/], {status.phase.words}", highlight=False, soft_wrap=True)
    else:
        _render_running(status, console)
    if status.clock:
        console.print(
            f"[yellow]clock[/]    {status.clock}: ./run doctor says what to do", highlight=False, soft_wrap=True
        )


def _render_running(status: Status, console: Console) -> None:
    head = f"exchange [bold]{status.exchange}[/]"
    if status.unknown:
        console.print(f"{head}; how far its data is cannot be said: {escape(status.unknown)}", soft_wrap=True)
    else:
        console.print(f"{head}, {status.markets} markets, {status.candles_today} candles today (KST)")
        behind = "" if status.lag_seconds is None else f" ({status.lag_seconds} s behind)"
        console.print(
            f"covered until {status.covered_until or '-'}{behind}, newest forecast {status.forecast_origin or '-'}"
        )
    colour, label = ("yellow", "STARTING") if status.phase is Phase.STARTING else ("red", "WRONG")
    for trouble in [*filter(None, [status.phase.words]), *status.troubles]:
        console.print(f"[{colour}]{label}[/] {escape(trouble)}", highlight=False, soft_wrap=True)
    console.print(_table(status, colour))
    for service in status.services:
        if last := service.restarted:
            text = f"{service.name} hung and was restarted at {last.at} ({last.count} so far): {last.why}"
            console.print(f"[yellow]watchdog[/] {escape(text)}", highlight=False, soft_wrap=True)
    for name, address in status.addresses.items():
        console.print(f"{name:8} {address}", highlight=False)


def _table(status: Status, colour: str) -> Table:
    table = Table("service", "state", "pid", "MB", box=None)
    for service in status.services:
        state = "[green]healthy[/]" if service.healthy else f"[{colour}]{escape(str(service.trouble))}[/]"
        table.add_row(service.name, state, str(service.pid or "-"), f"{service.rss_mb:.0f}")
    table.add_row("all", "", "", f"{sum(service.rss_mb for service in status.services):.0f}")
    return table


def _service(service: Service, state: State | None, restarted: Restart | None) -> ServiceStatus:
    pid = state.pid if state else None
    trouble = trouble_of(service, state)
    return ServiceStatus(
        name=service.name,
        healthy=trouble is None,
        pid=pid,
        rss_mb=processes.resident_mb(pid) if pid else 0.0,
        trouble=trouble,
        restarted=restarted,
    )


def trouble_of(service: Service, state: State | None) -> str | None:
    """What is wrong with a service, None when it can do its work."""
    if state is None:
        return "not started"
    if not state.running:
        return f"{state.state.lower()}: {state.message}"
    return service.check()


def _progress_if_up(
    stack: StackSettings, plan: StackPlan, services: Iterable[ServiceStatus]
) -> tuple[DataProgress, str | None]:
    """How far the data is, or why that is not known; no error, as the row of the service `flask` says what is wrong."""
    if not any(service.name == "flask" and service.pid for service in services):
        return DataProgress(), "the page's service, flask, does not run"
    try:
        return explained(stack, plan, progress(stack)), None
    except StackError as error:
        return DataProgress(), f"the page's service does not answer (yet): {error}"
