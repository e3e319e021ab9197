"""The command `backfill` as a user runs it: a process of its own, on the wall clock, against real daemons."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

import pytest
from flask import request

from tests.support.audit import in_hive
from tests.support.stack import REPO, wait_for
from upbit_elt.candle import KST, Candle, day_end, day_start, days_between
from upbit_elt.flows import train_forecast
from upbit_elt.lake import layout, ledger
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.replica import SyntheticSource, create_replica, running, truth
from upbit_elt.settings import Settings
from upbit_elt.stack import environment
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import days

MARKETS = 6


@dataclass
class Installation:
    """A replica on the wall clock, and the settings of a lake of its own."""

    settings: Settings
    source: SyntheticSource
    urls: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> subprocess.Popen[str]:
        variables = environment.application(self.settings) | {"PYTHONPATH": str(REPO / "plugins"), "COLUMNS": "120"}
        return subprocess.Popen(
            [sys.executable, "-m", "upbit_elt", *arguments],
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        with self.command(*arguments) as child:
            out, err = child.communicate(timeout=240)
        return subprocess.CompletedProcess(child.args, child.returncode, out, err)

    def in_hive(self, start: datetime, end: datetime) -> list[Candle]:
        return in_hive(Hive.from_settings(self.settings), self.settings, start, end)

    def truth(self, start: datetime, end: datetime) -> list[Candle]:
        markets = sorted(market.code for market in self.source.markets() if market.listed < start)
        return [c for market in markets for c in truth(self.source, market, start, end)]


def requested_until(url: str) -> datetime:
    """The `to` of a request for candles."""
    found = re.search(r"to=([0-9TZ:%A-F-]+)", url)
    return datetime.fromisoformat(unquote(found[1])) if found else datetime.max.replace(tzinfo=UTC)


@pytest.fixture
def installation(daemons: Settings, tmp_path: Path) -> Iterator[Installation]:
    with _open(daemons, tmp_path) as opened:
        yield opened


@contextmanager
def _open(daemons: Settings, folder: Path) -> Iterator[Installation]:
    source = SyntheticSource(seed=7, markets=MARKETS)
    app = create_replica(source)
    urls: list[str] = []
    app.before_request(lambda: urls.append(request.url) if "/candles/" in request.path else None)
    with running(app) as url:
        changes = {"dataset": f"replica_{uuid4().hex[:12]}", "base_url": url, "state_dir": folder / "state"}
        installation = Installation(daemons.model_copy(update=changes), source, urls)
        yield installation
        hive = Hive.from_settings(installation.settings)
        for database in (installation.settings.database, installation.settings.bi_database):
            hive.execute(f"DROP DATABASE IF EXISTS {database} CASCADE")
        Lake.from_settings(installation.settings).delete(installation.settings.lake_root)


def span(count: int) -> tuple[datetime, datetime, list[str]]:
    """Some whole KST days before yesterday."""
    end = day_end((datetime.now(UTC) - timedelta(days=2)).astimezone(KST).strftime("%y%m%d"))
    start = end - timedelta(days=count)
    return start, end, list(days_between(start, end))


def published_days(lake: Lake) -> list[str]:
    return [day for day in ledger.days(lake, "candle") if ledger.current(lake, "candle", day)]


def kst(moment: datetime) -> str:
    return f"{moment.astimezone(KST):%Y-%m-%d}"


def test_a_kill_loses_nothing_and_the_same_command_goes_on(installation: Installation) -> None:
    start, end, names = span(4)
    lake = Lake.from_settings(installation.settings)
    arguments = ("backfill", "--from", kst(start), "--to", kst(end))
    with installation.command(*arguments) as first:
        wait_for(lambda: published_days(lake), 120)
        os.killpg(first.pid, signal.SIGKILL)
    done_before = published_days(lake)
    assert 0 < len(done_before) < len(names), "killed in mid-work"
    assert installation.run("backfill", "--list").stdout.count("so far") == 1

    urls = len(installation.urls)
    second = installation.run(*arguments)
    assert second.returncode == 0, second.stderr
    assert "done" in second.stdout
    assert installation.in_hive(start, end) == installation.truth(start, end)
    assert days(Hive.from_settings(installation.settings), installation.settings, "candle") == names
    newest = done_before[-1]
    again = [url for url in installation.urls[urls:] if day_start(newest) < requested_until(url) <= day_end(newest)]
    assert again == [], "the day that was published is not requested again"
    assert lake.list(layout.backfill_folder(installation.settings.lake_root, names[0])) == []


def test_ctrl_c_says_how_to_go_on_and_how_to_end(installation: Installation) -> None:
    start, end, _ = span(20)
    lake = Lake.from_settings(installation.settings)
    with installation.command("backfill", "--from", kst(start), "--to", kst(end)) as child:
        wait_for(lambda: ledger.days(lake, "candle"), 120)
        os.killpg(child.pid, signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    (found,) = re.findall(r"--cancel (\S+)", err)
    assert "Traceback" not in err
    assert "so far" in installation.run("backfill", "--list").stdout, "it is in the queue still"
    cancelled = installation.run("backfill", "--cancel", found)
    assert (cancelled.returncode, "cancelled" in cancelled.stdout) == (0, True)
    assert "there is no request" in installation.run("backfill", "--list").stdout


BAD = {
    ("--from", "2026-11-01", "--market", "KRW-NOPE"): "KRW-NOPE: not listed",
    ("--from", "2026-11-03", "--to", "2026-11-01"): "must lie before",
    ("--from", "2190-01-01"): "must lie before",
    ("--from", "yesterday"): "is no time",
    ("--to", "2026-11-01"): "need --from",
    ("--cancel", "nope"): "no request",
}


def test_bad_input_gets_an_error_of_one_line(installation: Installation) -> None:
    with ExitStack() as running:
        children = {arguments: running.enter_context(installation.command("backfill", *arguments)) for arguments in BAD}
        for arguments, child in children.items():
            out, err = child.communicate(timeout=240)
            assert child.returncode == 2, arguments
            assert BAD[arguments] in " ".join((out + err).split())
            assert "Traceback" not in err
    assert train_forecast.has_candles(installation.settings) is False
