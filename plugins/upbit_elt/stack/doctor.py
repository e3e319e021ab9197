"""`./run doctor`: what is wrong with this machine or with the running stack, and what to do about it."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import requests
from rich.console import Console
from rich.markup import escape

from upbit_elt.errors import LakeError, StackError
from upbit_elt.exchange import clock_steps
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack import choice, health, jars, java, phase, plan, preflight, status
from upbit_elt.stack.choice import Choice
from upbit_elt.stack.memory import memory
from upbit_elt.stack.names import HOST
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.phase import Phase
from upbit_elt.stack.plan import StackPlan
from upbit_elt.stack.status import trouble_of
from upbit_elt.stack.supervision import Supervisor

NEEDED_MEMORY_GB = 4.0
LEFT_MEMORY_GB = 0.5  # while the stack runs: training needs some for a minute
CLOCK_TOLERANCE = 2.0


class Check(NamedTuple):
    """One thing looked at; `advice` says what to do, None when all is well.

    A `warning` stops nothing: its advice also says what follows from what was seen.
    """

    name: str
    seen: str
    advice: str | None = None
    warning: bool = False

    @property
    def wrong(self) -> bool:
        """Whether something has to be done."""
        return self.advice is not None and not self.warning

    @property
    def verdict(self) -> str:
        """The first word of its line, with its colour."""
        if self.advice is None:
            return "[green]ok[/]   "
        return "[yellow]warn[/] " if self.warning else "[red]WRONG[/]"


def examine(stack: StackSettings) -> list[Check]:
    """Check everything. What needs running services is checked only when the stack runs."""
    checks = [_java(), _maven(stack), _disk(stack)]
    try:
        planned = plan.make(stack, _choice(stack))
    except StackError as error:
        return [*checks, Check("settings", "no start is possible", str(error))]
    running, starting = Supervisor(stack).alive(), phase.starting(stack)
    checks.append(_memory(LEFT_MEMORY_GB if running or starting else NEEDED_MEMORY_GB))
    checks += [] if running or starting else [_ports(stack, planned)]
    checks += [_clock(stack, planned.settings), *_clock_set(planned.settings)]
    if starting:
        checks.append(Check("start", str(Phase.STARTING.words)))
    elif not running:
        checks.append(Check("services", "not started: ./run starts them"))
    return checks + (_running(stack, planned, starting) if running else [])


def render(checks: list[Check], console: Console) -> bool:
    """Print the findings; whether nothing is wrong."""
    for check in checks:
        console.print(f"{check.verdict} {check.name}: {escape(check.seen)}", highlight=False, soft_wrap=True)
        if check.advice:
            console.print(f"      do: {escape(check.advice)}", highlight=False, soft_wrap=True)
    return not any(check.wrong for check in checks)


def _choice(stack: StackSettings) -> Choice:
    memory = choice.recall(stack)
    if memory is None or stack.exchange or stack.replay:
        return Choice("replica" if stack.replay else stack.exchange or "upbit", stack.replay)
    return Choice(memory.exchange, memory.replay)


def _java() -> Check:
    try:
        home = java.java_home()
    except StackError as error:
        return Check("java", "missing", str(error))
    return Check("java", f"{java.java_version(home)} in {home}")


def _maven(stack: StackSettings) -> Check:
    if not (missing := jars.missing(stack.jars)):
        return Check("jars", f"complete in {stack.jars}")
    try:
        return Check("jars", f"{' and '.join(missing)} will be fetched by {java.maven()} at the next start")
    except StackError as error:
        return Check("jars", f"{' and '.join(missing)} missing, and no Maven to fetch them", str(error))


def _disk(stack: StackSettings) -> Check:
    seen = f"{preflight.free_gb(stack.data_dir):.1f} GB free for {stack.data_dir}"
    try:
        preflight.check_drive(stack)
        preflight.check_disk(stack)
    except StackError as error:
        return Check("disk", seen, str(error))
    return Check("disk", seen)


def _memory(needed: float) -> Check:
    here = memory()
    free = here.available / 1e9
    advice = f"{needed:g} GB are needed: end other programs, or use a larger machine"
    limit = f", within the limit of {here.total / 1e9:.1f} GB in {here.limit}" if here.limit else ""
    return Check("memory", f"{free:.1f} GB available{limit}", None if free >= needed else advice)


def _ports(stack: StackSettings, planned: StackPlan) -> Check:
    if advice := preflight.taken_ports(stack, planned.ports):
        seen, _, what_to_do = advice.partition("Do: ")
        return Check("ports", seen.strip(), what_to_do)
    return Check("ports", f"all free on {HOST}")


def _clock(stack: StackSettings, settings: Settings) -> Check:
    if settings.dataset in ("replica", "replay"):
        return Check("clock", "the replica goes by this machine's clock")
    try:
        response = requests.head(f"{settings.base_url}/v1/market/all", timeout=health.TIMEOUT)
        theirs = parsedate_to_datetime(response.headers["Date"])
    except (requests.RequestException, KeyError, ValueError) as error:
        return _no_exchange(stack, f"{settings.base_url} does not answer ({type(error).__name__})")
    # the header has whole seconds: half a second is its middle
    behind = (theirs - datetime.now(UTC)).total_seconds() + 0.5
    advice = "which candles are closed is decided by the exchange's clock, but set this one: timedatectl set-ntp true"
    seen = f"{abs(behind):.1f} s {'behind' if behind > 0 else 'ahead of'} the exchange's"
    return Check("clock", seen, advice if abs(behind) > CLOCK_TOLERANCE else None)


def _no_exchange(stack: StackSettings, seen: str) -> Check:
    if choice.is_made(stack):
        return Check("exchange", seen, "check network and proxy, or use the replica: ./run --exchange replica")
    follows = (
        "the first ./run takes the replica then (made-up prices, in a lake of their own), and later ones too; for the "
        "real exchange check network and proxy, then ./run --exchange upbit"
    )
    return Check("exchange", seen, follows, warning=True)


def _clock_set(settings: Settings) -> list[Check]:
    """Whether somebody has set the clock within a day: schedules and logs went by it."""
    step = clock_steps.last_step(settings.state_dir, datetime.now(UTC))
    advice = (
        "keep it in step with timedatectl set-ntp true; where another system shares this machine, let both keep the "
        "hardware clock in UTC (timedatectl set-local-rtc 0)"
    )
    return [Check("clock set", str(step), advice)] if step else []


def _running(stack: StackSettings, planned: StackPlan, starting: bool) -> list[Check]:
    """The services and their data. While they start, what only has to be waited for is no fault."""
    states = Supervisor(stack).states()
    checks = []
    for service in planned.services:
        state = states.get(service.name)
        trouble = trouble_of(service, state)
        if trouble and starting and phase.expected(state):
            checks.append(Check(service.name, f"starting ({trouble})"))
        else:
            advice = f"{_HINTS.get(service.name, '')}./run logs {service.name}" if trouble else None
            checks.append(Check(service.name, trouble or "healthy", advice))
    return checks if starting else [_webhdfs(planned.settings), *checks, *_data(stack, planned)]


def _data(stack: StackSettings, planned: StackPlan) -> list[Check]:
    """How fresh the candles are, and which DAGs fail."""
    try:
        found = status.explained(stack, planned, status.progress(stack))
    except StackError as error:
        return [Check("candles", str(error), "./run logs flask")]
    see = f"see the DAG's runs at {stack.airflow_url}, and whether exchange and network are well"
    troubles = [Check("candles", trouble, see) for trouble in found.troubles]
    return troubles or [Check("candles", f"covered until {found.covered_until or 'nothing yet'}")]


def _webhdfs(settings: Settings) -> Check:
    """A real write, read and delete: it goes where the NameNode redirects to, as every other write does."""
    lake = Lake.from_settings(settings)
    path = f"{settings.lake_root}/_doctor"
    try:
        lake.replace(path, b"well")
        read = lake.read(path)
        lake.delete(path)
    except LakeError as error:
        advice = "the address that WebHDFS redirects to must be reachable: is the DataNode up? ./run logs datanode"
        return Check("webhdfs", f"no round trip: {error}", advice)
    return Check(
        "webhdfs",
        "wrote, read and deleted a file",
        None if read == b"well" else "it came back changed: check the disk",
    )


_HINTS = {
    "hiveserver2": "a hanging session means another authentication than NONE (hive/hive-site.xml, UPBIT_ELT_HIVE_*); ",
    "namenode": "it leaves safe mode when the DataNode has reported; ",
}
