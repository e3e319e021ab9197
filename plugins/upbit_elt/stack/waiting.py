"""Bounded waits that say what they wait for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from time import monotonic

from rich.console import Console
from rich.status import Status
from tenacity import Retrying, retry_if_result, stop_after_delay, stop_any, stop_when_event_set, wait_fixed

from upbit_elt.errors import StackError
from upbit_elt.stack.health import Check
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.patience import Patience, work_of
from upbit_elt.stack.services import Service
from upbit_elt.stack.status import trouble_of
from upbit_elt.stack.supervision import Supervisor

LAST_LINES = 15


class ProgressLine:
    """One line that says what is being waited for; without a terminal, a line a change."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = monotonic()
        self._status: Status | None = None
        self._about = ""
        self._closing = ExitStack()

    def __enter__(self) -> ProgressLine:
        if self._console.is_terminal:
            self._status = self._closing.enter_context(self._console.status("starting"))
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @property
    def seconds(self) -> float:
        """Since this progress began."""
        return monotonic() - self._began

    def waiting(self, text: str, about: str = "") -> None:
        """Say what is being waited for; without a terminal only when `about` (by default the text) is another."""
        about = about or text
        if self._status:
            self._status.update(f"{text} ({self.seconds:.0f} s)")
        elif about != self._about:
            self._console.print(f"[dim]{self.seconds:4.0f} s[/]  ... {text}", highlight=False)
        self._about = about

    def done(self, text: str) -> None:
        """Say what is ready."""
        self._console.print(f"[dim]{self.seconds:4.0f} s[/]  [green]ok[/]  {text}", highlight=False)


def until(
    trouble: Check, patience: float | Patience, say: Callable[[str], None], cancel: Event | None = None
) -> str | None:
    """Wait until `trouble` gives None, and give None; its last words when `patience` (s) is over, or when cancelled."""
    over = patience if isinstance(patience, Patience) else stop_after_delay(patience)

    def step() -> str | None:
        found = trouble()
        if found is not None:
            say(found)
        return found

    poll = Retrying(
        retry=retry_if_result(lambda found: found is not None),
        wait=wait_fixed(0.5),
        stop=stop_any(over, stop_when_event_set(cancel or Event())),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    found: str | None = poll(step)
    return found


def until_healthy(stack: StackSettings, services: list[Service], progress: ProgressLine) -> None:
    """Wait for all services at once, each with its own patience: longer while it is at work.

    Raises:
        StackError: one is not healthy when its patience is over; the message has its last log lines.
    """
    supervisor = Supervisor(stack)
    waits = [
        _Wait(service, Patience(service.patience, partial(work_of, stack, supervisor, service.name)))
        for service in services
    ]
    cancel = Event()
    with ThreadPoolExecutor(len(services)) as pool:
        pending = {pool.submit(one.watch, supervisor, cancel): one for one in waits}
        try:
            while pending:
                done, _ = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    one = pending.pop(future)
                    if trouble := future.result():
                        raise failure(stack, one.service.name, trouble, one.patience.words)
                    progress.done(one.service.name)
                progress.waiting(*_summary(list(pending.values())))
        finally:
            cancel.set()


def failure(stack: StackSettings, name: str, trouble: str, waited: str) -> StackError:
    """The error for a service that does not become healthy; `waited` says for how long, in words."""
    lines = "\n".join(f"    {line[:300]}" for line in last_lines(stack.logs_dir / f"{name}.log"))
    return StackError(
        f"{name} is not healthy: {trouble} (waited {waited})\n{lines}\n  more: ./run logs {name}\n"
        "  What was started goes on. ./run again goes on where this start ended."
    )


def last_lines(log: Path, count: int = LAST_LINES) -> list[str]:
    """The end of a log file."""
    return log.read_text(errors="replace")[-20_000:].splitlines()[-count:] if log.exists() else []


@dataclass
class _Wait:
    """The wait for one service; `trouble` is what was wrong with it at the last look."""

    service: Service
    patience: Patience
    trouble: str = "starting"

    def watch(self, supervisor: Supervisor, cancel: Event) -> str | None:
        """Wait until it is healthy; what is wrong when its patience is over."""

        def say(trouble: str) -> None:
            self.trouble = trouble

        return until(lambda: trouble_of(self.service, supervisor.state(self.service.name)), self.patience, say, cancel)


def _summary(waits: Sequence[_Wait]) -> tuple[str, str]:
    """`waiting for namenode (in safe mode, for 12 s), flask`: all that is waited for, and what is wrong with the first.

    `still waiting for` when one takes longer than its patience. The second text is the part that says what it is about.
    """
    if not waits:
        return "all services are healthy", ""
    first, *others = waits
    begin = "still waiting for " if any(one.patience.prolonged for one in waits) else "waiting for "
    words = f"{first.service.name} ({first.trouble}, {first.patience.words})"
    return begin + ", ".join([words, *(one.service.name for one in others)]), begin + first.service.name
