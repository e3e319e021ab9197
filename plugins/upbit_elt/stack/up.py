"""`./run`: bring everything up, in an order that never leaves the user wondering."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from filelock import FileLock, Timeout
from rich.console import Console
from rich.panel import Panel

from upbit_elt import release
from upbit_elt.errors import StackError
from upbit_elt.lake import archive
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.stack import airflow, choice, jars, phase, plan, preflight, processes, restarts, status
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.choice import Choice, RememberedChoice
from upbit_elt.stack.environment import settings_for
from upbit_elt.stack.halt import halt
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.patience import NO_WORK, Patience, States, Work, work_of
from upbit_elt.stack.plan import StackPlan
from upbit_elt.stack.supervision import Supervisor
from upbit_elt.stack.waiting import ProgressLine, failure, until, until_healthy

DATA_PATIENCE = 600.0
PARSE_PATIENCE = 300.0
FRESH = timedelta(minutes=6)


@contextmanager
def runs_on() -> Iterator[None]:
    """Makes of Ctrl-C a StackError that says what goes on without this command, and how to end that."""
    try:
        yield
    except KeyboardInterrupt:
        raise StackError(
            "interrupted, and what was started runs on: ./run goes on with the start, ./run status says how far it is, "
            "./run stop ends it"
        ) from None


def up(stack: StackSettings, console: Console) -> None:
    """Start what does not run, wait until candles and forecast flow, and say where everything is.

    Raises:
        StackError: something does not start, or another `./run` is at it; the message says what to do.
    """
    stack.run_dir.mkdir(parents=True, exist_ok=True)
    try:
        # a moment: ./run status and doctor look whether it is free
        with runs_on(), FileLock(phase.lock(stack), timeout=1):
            _up(stack, console)
    except Timeout:
        raise StackError(f"another ./run is starting the stack in {stack.data_dir}: wait for it") from None


def _up(stack: StackSettings, console: Console) -> None:
    preflight.check_drive(stack)
    preflight.check_disk(stack)
    preflight.check_memory(stack)
    release.enter(stack.data_dir / "state")
    memory = choice.recall(stack)
    chosen = choice.choose(stack, memory, settings_for(stack).base_url)
    planned = plan.make(stack, chosen)
    preflight.check_ports(stack, planned.ports)
    _announce(chosen, console)
    with ProgressLine(console) as progress:
        if missing := jars.missing(stack.jars):
            progress.waiting(f"fetching the jars of {' and '.join(missing)} (about 400 MB in all)")
            jars.fetch(stack.jars)
            progress.done("jars of Hadoop, Hive and Tez")
        _start(stack, planned, progress)
        until_healthy(stack, planned.services, progress)
        _introduce(stack, planned, progress)
        _await_data(stack, progress)
    console.print(farewell(stack, planned), highlight=False)


def _announce(chosen: Choice, console: Console) -> None:
    if chosen.exchange == "upbit":
        console.print("exchange: [bold]Upbit[/]")
        return
    source = f"a replay of {chosen.replay}" if chosen.replay else "a synthetic exchange on this machine"
    text = f"The candles come from the [bold]REPLICA[/], {source}. They are NOT real prices."
    if chosen.reason:
        text += f"\nWhy: {chosen.reason}. For the real exchange: ./run --exchange upbit"
    console.print(Panel(text, title="not the real exchange", border_style="yellow", expand=False))


def _start(stack: StackSettings, planned: StackPlan, progress: ProgressLine) -> None:
    supervisor, digest_file = Supervisor(stack), stack.run_dir / "digest"
    if not (supervisor.alive() and digest_file.exists() and digest_file.read_text() == planned.digest):
        _start_supervisor(stack, planned, progress)
        digest_file.write_text(planned.digest)
    for service in planned.services:
        if service.name == "airflow-api-server":
            if not airflow.migrated(stack):
                progress.waiting("making Airflow's database")
            airflow.prepare(stack, planned.secrets, planned.environment)
        supervisor.start(service.name)


def _start_supervisor(stack: StackSettings, planned: StackPlan, progress: ProgressLine) -> None:
    if processes.members(stack.data_dir):
        progress.waiting("ending what an earlier start left running")
        halt(stack)
    restarts.forget(stack)
    chosen = planned.choice
    RememberedChoice(exchange=chosen.exchange, replay=chosen.replay, namenode_port=stack.namenode_port).save(stack)
    Supervisor(stack).start_daemon(planned.configuration, planned.environment)


def _introduce(stack: StackSettings, planned: StackPlan, progress: ProgressLine) -> None:
    api = AirflowApi(stack.airflow_url, planned.secrets.airflow_password)
    api.ensure_pool(airflow.POOL, 1)

    def unparsed() -> str | None:
        return ", ".join(airflow.undecided(api, stack.dags_dir)) or None

    patience = Patience(PARSE_PATIENCE, lambda: parsing(stack, Supervisor(stack), api))
    if names := until(unparsed, patience, lambda names: progress.waiting(f"waiting for Airflow to read {names}")):
        raise failure(stack, "airflow-dag-processor", f"it has not read {names}", f"for {patience.waited:.0f} s")
    archive.forget_killed(Lake.from_settings(planned.settings), datetime.now(UTC))
    if new := airflow.unpause_new(api, airflow.unpaused_file(stack)):
        progress.done(f"DAGs running: {', '.join(new)}")


def _await_data(stack: StackSettings, progress: ProgressLine) -> None:
    def missing() -> str | None:
        try:
            return missing_data(status.progress(stack), datetime.now(UTC))
        except StackError as error:
            return str(error)

    patience = Patience(DATA_PATIENCE, lambda: collecting(stack, Supervisor(stack)))
    if trouble := until(missing, patience, lambda what: progress.waiting(f"waiting for data: {what}")):
        raise StackError(
            f"no fresh candles and forecast within {patience.waited:.0f} s: {trouble}. "
            f"The services run on; see the DAG runs at {stack.airflow_url}, and ./run status"
        )
    progress.done("fresh candles in Hive, and a forecast of them")


def parsing(stack: StackSettings, supervisor: States, api: AirflowApi) -> Work:
    """The work of Airflow's DAG processor; none when a file cannot be imported, which no waiting would change."""
    return NO_WORK if api.import_errors() else work_of(stack, supervisor, "airflow-dag-processor")


def collecting(stack: StackSettings, supervisor: States) -> Work:
    """The work of Airflow's scheduler and its tasks; none when a DAG fails."""
    try:
        failing = status.progress(stack).errors
    except StackError:  # the service is busy, too
        failing = []
    return NO_WORK if failing else work_of(stack, supervisor, "airflow-scheduler")


def missing_data(found: status.DataProgress, now: datetime) -> str | None:
    """What there is no fresh one of yet and why, in words; None when candles and forecast both are recent."""
    missing = _missing(found, now)
    return "; ".join([missing, *found.troubles]) if missing else None


def _missing(found: status.DataProgress, now: datetime) -> str | None:
    newest = (("candles in Hive", "are", found.covered_until), ("forecast", "is", found.forecast_origin))
    for name, verb, moment in newest:
        if moment is None:
            return f"no {name} yet"
        if now - datetime.fromisoformat(moment) > FRESH:
            return f"the newest {name} {verb} of {moment}"
    return None


def farewell(stack: StackSettings, planned: StackPlan) -> Panel:
    """The last words of a start: where everything is, and what to do next."""
    found = status.addresses(stack, planned.settings.page_url)
    return Panel(
        f"page      {found['page']}\n"
        f"Airflow   {found['airflow']}   user {airflow.USER}, password: ./run passwords\n"
        f"Hive      {found['hive']}   database {planned.settings.bi_database}\n"
        f"WebHDFS   {found['webhdfs']}\n\n"
        "./run status   ./run logs NAME   ./run stop   ./run doctor",
        title="upbit-elt is up",
        border_style="green",
        expand=False,
    )
