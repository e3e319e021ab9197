from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from upbit_elt.stack import waiting
from upbit_elt.stack.status import DataProgress as Data
from upbit_elt.stack.status import FailedDag
from upbit_elt.stack.up import missing_data
from upbit_elt.stack.waiting import ProgressLine

NOW = datetime(2026, 11, 24, 15, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("covered", "origin", "trouble"),
    [
        (None, None, "no candles in Hive yet"),
        ("2026-11-24T15:08:00Z", None, "no forecast yet"),
        ("2026-11-24T15:08:00Z", "2026-11-24T15:06:00Z", None),
        ("2026-11-24T14:50:00Z", "2026-11-24T15:06:00Z", "the newest candles in Hive are of 2026-11-24T14:50:00Z"),
        ("2026-11-24T15:08:00Z", "2026-11-23T15:06:00Z", "the newest forecast is of 2026-11-23T15:06:00Z"),
    ],
)
def test_yesterdays_data_does_not_count_as_up(covered: str | None, origin: str | None, trouble: str | None) -> None:
    assert missing_data(Data(covered_until=covered, forecast_origin=origin), NOW) == trouble


def test_the_wait_says_which_dag_fails_and_why() -> None:
    error = FailedDag(dag="min_candle", at="2026-11-24T15:09:12Z", error="UnknownMarket: 404 no Route matched")
    assert missing_data(Data(errors=[error]), NOW) == (
        "no candles in Hive yet; min_candle failed at 2026-11-24T15:09:12Z: UnknownMarket: 404 no Route matched"
    )


def test_waits_until_all_is_well_and_says_why_it_waits() -> None:
    troubles = iter(["in safe mode", "in safe mode", None])
    said: list[str] = []
    assert waiting.until(lambda: next(troubles), 60, said.append) is None
    assert said == ["in safe mode", "in safe mode"]


def test_gives_the_last_words_when_patience_ends() -> None:
    assert waiting.until(lambda: "no answer", 0, lambda _: None) == "no answer"


def test_a_failure_shows_the_end_of_the_log_and_the_command_for_more(tmp_path: Path) -> None:
    log = tmp_path / "flask.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    assert waiting.last_lines(log, 2) == ["line 98", "line 99"]
    assert waiting.last_lines(tmp_path / "none.log") == []


def test_without_a_terminal_a_line_a_change(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressLine(Console(file=sys.stdout, force_terminal=False)) as progress:
        for reason in ("no answer", "in safe mode"):
            progress.waiting(f"waiting for namenode ({reason})", "namenode")
        progress.waiting("waiting for flask (no answer)", "flask")
        progress.done("flask")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" s ", 1)[1].split() for line in lines] == [
        ["...", "waiting", "for", "namenode", "(no", "answer)"],
        ["...", "waiting", "for", "flask", "(no", "answer)"],
        ["ok", "flask"],
    ]
