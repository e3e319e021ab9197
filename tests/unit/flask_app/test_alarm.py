"""What the service's watch sends to the webhook: a line when something is wrong with the data, one when it is over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from flask_app.forecasts import Forecast
from flask_app.services import Services
from tests.support.chat import DISCORD, Chat, chat
from tests.support.disk import full_disk
from tests.unit.flask_app.test_freshness import failed_run
from tests.unit.flask_app.test_problems import problem
from tests.unit.flask_app.world import GB, MARKETS, NOON, TOKEN, Disk, World
from upbit_elt import backups
from upbit_elt.candle import MINUTE, to_table
from upbit_elt.lake import layout
from upbit_elt.lake.coverage import Coverage, Recheck
from upbit_elt.lake.dag_errors import DagError
from upbit_elt.lake.parquet import encode


class Scene:
    """The service over a lake, its clock, and a chat that its webhook leads to."""

    def __init__(self, folder: Path, there: Chat, published: World) -> None:
        self.folder, self.chat, self.published = folder, there, published
        folder.mkdir()
        self.backup_folder: Path | None = None
        (folder / "webhook").write_text(there.url + DISCORD)
        self.world = self._started()

    def restart(self) -> None:
        """Another process of the service over the same lake, at the same moment."""
        before, self.world = self.world, self._started()
        self.world.lake.files, self.world.hive.places = before.lake.files, before.hive.places
        self.world.clock.moment = before.clock.moment

    @property
    def services(self) -> Services:
        found: Services = self.world.app.extensions["upbit_elt"]
        return found

    def look(self, seconds: float = 0.0) -> list[str]:
        """All lines that were sent after the watch has run every 20 s for so long."""
        self.services.watch.look()
        for _ in range(int(seconds / 20)):
            self.world.later(20)
            self.services.watch.look()
        return self.chat.lines

    def _started(self) -> World:
        world = World(
            state_dir=self.folder,
            webhdfs_url="http://127.0.0.1:9",  # nobody listens on port 9
            backup_folder=self.backup_folder,
        )
        world.lake.files.update(self.published.lake.files)
        world.hive.places.update(self.published.hive.places)
        return world


@pytest.fixture
def scene(tmp_path: Path, published: World) -> Iterator[Scene]:
    with chat() as there:
        yield Scene(tmp_path / "state", there, published)


def publish_run(world: World, start: datetime, end: datetime, rechecks: tuple[Recheck, ...] = ()) -> None:
    """A live run that knows all markets up to `end`."""
    path = f"{layout.live_folder(world.lake.root, 'candle', '261124', 1)}/{layout.window_name(start, end)}"
    world.lake.publish(
        path, encode(to_table([]), Coverage(start, end, "run", (), dict.fromkeys(MARKETS, end), rechecks))
    )


def test_fresh_data_sends_nothing(scene: Scene) -> None:
    assert scene.look(120) == []


def test_a_dead_scheduler_is_reported_once_and_its_end_once(scene: Scene) -> None:
    sent = "[replica] all 3 markets are stale, known only until 2026-11-24T03:00Z, 6 min ago (not_asked 3)"
    assert scene.look(600) == [sent]
    assert scene.look(600) == [sent]
    publish_run(scene.world, NOON, NOON + 20 * MINUTE)
    found = scene.look(200)
    assert len(found) == 2
    assert found[1].startswith("[replica] over after 16 min, since 11-24 03:06 UTC: all 3 markets are stale")


def test_an_endpoint_that_does_not_answer_is_named(scene: Scene) -> None:
    scene.look()
    failed_run(scene.world, 10)
    (line,) = scene.look(80)
    assert line.startswith("[replica] all 3 markets are stale, known only until 2026-11-24T03:00Z")
    assert line.endswith("(unreachable 3: no answer in time)")


def test_a_restart_reports_no_trouble_again_and_no_end_too_early(scene: Scene) -> None:
    (sent,) = scene.look(600)
    scene.world.later(600)
    scene.restart()
    assert scene.look(300) == [sent]


def test_a_hdfs_that_is_away_is_reported_alone(scene: Scene) -> None:
    scene.look()
    scene.world.lake.up = False
    (line,) = scene.look(900)
    assert line == "[replica] HDFS at http://memory does not answer"
    scene.restart()
    scene.world.lake.up = False
    assert scene.look(300) == [line]
    scene.world.lake.up = True
    publish_run(scene.world, NOON, NOON + 20 * MINUTE)
    assert scene.look(200)[1].startswith("[replica] over after")


def test_a_trouble_that_ends_within_a_minute_is_not_reported(scene: Scene) -> None:
    scene.look(280)
    scene.world.lake.up = False
    scene.look(40)
    scene.world.lake.up = True
    publish_run(scene.world, NOON, NOON + 5 * MINUTE)
    assert scene.look(40) == []


def test_a_disk_that_is_nearly_full_is_reported_and_a_tenth_of_a_large_one_is_room_enough(scene: Scene) -> None:
    scene.world.disk = Disk(total=1000 * GB, free=90 * GB)
    assert scene.look(120) == []
    scene.world.disk = Disk(total=100 * GB, free=9 * GB)
    assert scene.look(120) == [f"[replica] 9% of the disk of {scene.folder} are free"]


def test_a_full_quarantine_is_reported(scene: Scene) -> None:
    end = NOON + 2 * MINUTE
    publish_run(scene.world, NOON, end, tuple(Recheck(market, NOON, end, "hole", end) for market in MARKETS[:2]))
    scene.world.later(100)
    assert scene.look(80) == ["[replica] 2 of 3 markets have rows that failed validation, or are late"]
    publish_run(scene.world, end, end + 2 * MINUTE)
    scene.services.follower.refresh()  # as each forecast does
    assert "over after" in scene.look(160)[1]


def test_a_full_quarantine_is_reported_while_the_candles_are_stale_too(scene: Scene) -> None:
    end = NOON + 2 * MINUTE
    publish_run(scene.world, NOON, end, tuple(Recheck(market, NOON, end, "hole", end) for market in MARKETS[:2]))
    scene.world.later(900)
    quarantine, stale = sorted(scene.look(80))
    assert quarantine == "[replica] 2 of 3 markets have rows that failed validation, or are late"
    assert stale.startswith("[replica] all 3 markets are stale, known only until 2026-11-24T03:02Z")


def test_old_forecasts_of_fresh_candles_are_reported(scene: Scene) -> None:
    scene.services.forecasts.remember(Forecast(NOON - timedelta(minutes=10), "version", {"KRW-BTC": []}))
    assert scene.look(80) == ["[replica] forecasts are stale, the newest is of 2026-11-24T02:50Z, 11 min ago"]


def test_a_webhook_that_does_not_answer_stops_nothing(scene: Scene) -> None:
    scene.chat.status = 503
    assert scene.look(600) == []
    assert scene.services.watch.looked == scene.world.clock.now()
    assert "upbit_webhook_waiting 1.0" in scene.world.client.get("/metrics").get_data(as_text=True)
    scene.chat.status = 200
    assert len(scene.look(60)) == 1
    found = scene.world.client.get("/metrics").get_data(as_text=True)
    assert "upbit_webhook_waiting 0.0" in found
    assert "upbit_troubles 1.0" in found


def test_a_state_folder_that_cannot_be_written_is_reported_once_and_its_end_once(scene: Scene) -> None:
    scene.world.disk = Disk(total=100 * GB, free=0)
    with full_disk():
        assert scene.look(40) == [], "what is gone within a minute is not sent"
        (line,) = scene.look(200)
    assert line.startswith(f"[replica] {scene.folder}/troubles.db cannot be written: the disk ")
    assert line.endswith(f"; 0% of the disk of {scene.folder} are free")
    assert scene.services.watch.looked == scene.world.clock.now()
    scene.world.disk = Disk(total=100 * GB, free=50 * GB)
    assert scene.look(200)[1] == line.replace("[replica] ", "[replica] over after 4 min, since 11-24 03:00 UTC: ")


def test_backups_that_fail_or_do_not_come_are_reported_where_they_are_switched_on(scene: Scene) -> None:
    before = NOON - timedelta(days=2)
    note = backups.Note(since=before, made=before, error="the last backup failed: full")
    backups.note_file(scene.folder).write_text(note.model_dump_json())
    assert scene.look(80) == []
    assert "upbit_backup" not in scene.world.client.get("/metrics").get_data(as_text=True)
    scene.backup_folder = scene.folder / "to"
    scene.restart()
    assert scene.look(80) == ["[replica] the last backup failed: full"]
    found = scene.world.client.get("/metrics").get_data(as_text=True)
    (line,) = re.findall(r"^upbit_backup_timestamp_seconds (\S+)$", found, re.MULTILINE)
    assert float(line) == before.timestamp()


def test_an_error_that_nobody_foresaw_ends_no_watch(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    healthy, scene.world.disk = scene.world.disk, Disk(total=100 * GB, free="much")  # type: ignore[arg-type]
    assert scene.look(20) == []
    assert scene.services.watch.looked is None
    assert "the watch failed; it tries again in 20 s" in caplog.text
    scene.world.disk = healthy
    scene.look(20)
    assert scene.services.watch.looked == scene.world.clock.now()


def error_of(scene: Scene, words: str) -> bytes:
    now = scene.world.clock.now()
    return DagError("prove_day", "prove", "run", now, now + timedelta(minutes=5), words).to_json()


def test_the_error_of_a_task_is_reported_until_it_succeeds(scene: Scene) -> None:
    header = {"Authorization": f"Bearer {TOKEN}"}
    for words in ("QueryFailed: first", "QueryFailed: second"):
        response = scene.world.client.post("/api/v1/troubles", data=error_of(scene, words), headers=header)
        assert response.status_code == 202
        assert scene.look(20) == ["[replica] prove_day.prove fails: QueryFailed: first"]
    publish_run(scene.world, NOON, NOON + 10 * MINUTE)
    assert scene.look(360)[1] == (
        "[replica] over after 5 min, since 11-24 03:00 UTC: prove_day.prove fails: QueryFailed: second"
    )


def test_troubles_are_taken_from_those_who_have_the_token(scene: Scene) -> None:
    data = error_of(scene, "no")
    assert problem(scene.world.client.post("/api/v1/troubles", data=data))["status"] == 401
    header = {"Authorization": f"Bearer {TOKEN}"}
    bad = problem(scene.world.client.post("/api/v1/troubles", data=b"[]", headers=header))
    assert (bad["status"], bad["type"]) == (400, "/problems/bad_parameter")
    assert scene.look(20) == []
