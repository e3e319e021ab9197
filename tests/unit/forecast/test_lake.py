from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from tests.unit.forecast.market import END, MemoryHive, MemoryLake, bounce, candle
from upbit_elt.candle import to_table, wire
from upbit_elt.errors import LakeConflict, NoModel, NotEnoughHistory, UnusableModel
from upbit_elt.forecast.artifacts import Champion, Promotion, champion_version, load_champion, save_model
from upbit_elt.forecast.load_panel import load_panel
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.predict import predict
from upbit_elt.forecast.promote import train_and_promote
from upbit_elt.forecast.store import store
from upbit_elt.forecast.train import FORMAT, TrainedModel
from upbit_elt.holes import HoleReason
from upbit_elt.lake.coverage import Coverage, Span
from upbit_elt.lake.layout import window_name
from upbit_elt.lake.parquet import encode, metadata, parquet_writer
from upbit_elt.settings import Settings
from upbit_elt.warehouse.tables import ensure_day

MINUTE = timedelta(minutes=1)
FOLDER = "/replica/candle/261124/live-1"


def put(lake: MemoryLake, table: pa.Table, start: datetime, end: datetime, folder: str = FOLDER) -> None:
    coverage = Coverage(start, end, "test", watermark=dict.fromkeys(table.column("market").to_pylist(), end))
    lake.publish(f"{folder}/{window_name(start, end)}", encode(table, coverage))


def history(lake: MemoryLake, hive: MemoryHive, settings: Settings, end: datetime, minutes: int = 240) -> None:
    """Candles of the last minutes before `end`, as one file of the lake's current snapshot."""
    for path in [path for path in lake.files if path.startswith(FOLDER)]:
        del lake.files[path]
    put(lake, bounce(minutes, 4, end=end), end - minutes * MINUTE, end)
    ensure_day(hive, settings, "candle", "261124", FOLDER)


def test_a_model_is_read_from_the_lake_as_it_was_stored(
    lake: MemoryLake, trained: TrainedModel, champion: Champion, reverting: Panel
) -> None:
    version = save_model(lake, trained)
    back = load_champion(lake)
    assert (back.version, champion_version(lake)) == (version, version)
    assert predict(back, reverting, END).equals(predict(champion, reverting, END))
    assert back.card == trained.card | {
        "promoted": True,
        "provisional": True,
        "reason": "the first model: there was none to compare it with, so it is provisional",
        "comparison": None,
    }
    assert set(lake.files) == {
        f"/replica/model/{version}/weights.pt",
        f"/replica/model/{version}/card.json",
        "/replica/model/champion.json",
    }


def test_a_model_that_is_not_promoted_is_kept_but_not_used(lake: MemoryLake, trained: TrainedModel) -> None:
    save_model(lake, trained, Promotion(promoted=False, reason="worse", provisional=False))
    assert champion_version(lake) is None
    with pytest.raises(NoModel, match="train_forecast"):
        load_champion(lake)
    assert json.loads(lake.files["/replica/model/20261124T1500Z/card.json"])["reason"] == "worse"


def other_format(lake: MemoryLake, folder: str) -> None:
    card = json.loads(lake.files[f"{folder}/card.json"]) | {"format": 0}
    lake.files[f"{folder}/card.json"] = json.dumps(card).encode()


def other_horizons(lake: MemoryLake, folder: str) -> None:
    card = json.loads(lake.files[f"{folder}/card.json"])
    card["horizons"][6]["horizon"] = 45  # 30: weights of the same shape, and of another meaning
    lake.files[f"{folder}/card.json"] = json.dumps(card).encode()


def poor_card(lake: MemoryLake, folder: str) -> None:
    lake.files[f"{folder}/card.json"] = json.dumps({"format": FORMAT, "provisional": True}).encode()


def no_weights(lake: MemoryLake, folder: str) -> None:
    del lake.files[f"{folder}/weights.pt"]


def empty_weights(lake: MemoryLake, folder: str) -> None:
    lake.files[f"{folder}/weights.pt"] = b""


def text_for_weights(lake: MemoryLake, folder: str) -> None:
    lake.files[f"{folder}/weights.pt"] = b"no weights"


def half_the_weights(lake: MemoryLake, folder: str) -> None:
    lake.files[f"{folder}/weights.pt"] = lake.files[f"{folder}/weights.pt"][:5000]


def another_network(lake: MemoryLake, folder: str) -> None:
    sink = io.BytesIO()
    torch.save([1, 2, 3], sink)
    lake.files[f"{folder}/weights.pt"] = sink.getvalue()


def no_numbers(lake: MemoryLake, folder: str) -> None:
    state = torch.load(io.BytesIO(lake.files[f"{folder}/weights.pt"]), weights_only=True)
    state["head.bias"][0] = math.nan
    sink = io.BytesIO()
    torch.save(state, sink)
    lake.files[f"{folder}/weights.pt"] = sink.getvalue()


def no_folder(lake: MemoryLake, folder: str) -> None:
    for name in ("weights.pt", "card.json"):
        del lake.files[f"{folder}/{name}"]


def pointer_to_nothing(lake: MemoryLake, folder: str) -> None:
    lake.files["/replica/model/champion.json"] = b'{"since": "2026-11-24"}'


def half_a_pointer(lake: MemoryLake, folder: str) -> None:
    lake.files["/replica/model/champion.json"] = b'{"version": "2026'


SPOILS = (
    other_format, other_horizons, poor_card, no_weights, empty_weights, text_for_weights, half_the_weights,
    another_network, no_numbers, no_folder, pointer_to_nothing, half_a_pointer,
)  # fmt: skip


@pytest.mark.parametrize("spoil", SPOILS)
def test_a_champion_that_cannot_be_read_is_no_usable_model(
    lake: MemoryLake, trained: TrainedModel, spoil: Callable[..., None]
) -> None:
    spoil(lake, f"/replica/model/{save_model(lake, trained)}")
    with pytest.raises(UnusableModel, match=r"^no usable model: .* the next run of train_forecast replaces it"):
        load_champion(lake)


@pytest.mark.parametrize("spoil", [no_weights, pytest.param(half_a_pointer, marks=pytest.mark.soak)])
def test_an_unusable_champion_counts_as_none_and_the_next_training_replaces_it(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, trained: TrainedModel, spoil: Callable[..., None]
) -> None:
    version = save_model(lake, trained)
    spoil(lake, f"/replica/model/{version}")
    history(lake, hive, settings, END)
    made = train_and_promote(lake, hive, settings, END + MINUTE)
    assert (made["promoted"], made["provisional"]) == (True, True)
    assert "cannot be read: /replica/model/" in made["reason"]
    assert made["reason"].endswith("it counts as none, so this one is provisional")
    assert load_champion(lake).version == made["version"] != version


class Intruder:
    """Unpickled as Python would, it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_weights_never_run_code(lake: MemoryLake, trained: TrainedModel, tmp_path: Path) -> None:
    path = f"/replica/model/{save_model(lake, trained)}/weights.pt"
    sink = io.BytesIO()
    torch.save({"base": Intruder(tmp_path / "broken-in")}, sink)
    lake.files[path] = sink.getvalue()
    with pytest.raises(UnusableModel, match=r"weights\.pt"):
        load_champion(lake)
    assert not (tmp_path / "broken-in").exists()


def test_bulk_history_reads_the_files_that_hive_reads_and_the_window_needs(
    lake: MemoryLake, hive: MemoryHive, settings: Settings
) -> None:
    table = bounce(60, 3)
    times = table.column("candle_date_time_utc")
    half = wire(END - 30 * MINUTE)
    put(lake, table.filter(pc.less(times, half)), END - 60 * MINUTE, END - 30 * MINUTE)
    put(lake, table.filter(pc.greater_equal(times, half)), END - 30 * MINUTE, END)
    lake.files[f"{FOLDER}/_half-written.parquet"] = b"PAR1"
    lake.files[f"{FOLDER}/{window_name(END - 90 * MINUTE, END - 60 * MINUTE)}"] = b"not read: before the window"
    ensure_day(hive, settings, "candle", "261124", FOLDER)
    panel = load_panel(lake, hive, settings, end=END, minutes=60)
    assert panel.markets == ("KRW-BTC", "KRW-C00", "KRW-ETH")
    assert panel.traded.all()
    assert not panel.missing.any()


def test_a_file_that_cannot_be_read_costs_training_its_own_minutes_alone(
    lake: MemoryLake, hive: MemoryHive, settings: Settings
) -> None:
    table = bounce(60, 3)
    put(lake, table, END - 60 * MINUTE, END)
    lake.files[f"{FOLDER}/{window_name(END - 90 * MINUTE, END - 60 * MINUTE)}"] = b"damaged"
    ensure_day(hive, settings, "candle", "261124", FOLDER)
    panel = load_panel(lake, hive, settings, end=END, minutes=90)
    assert panel.traded[30:].all()
    assert panel.missing[:30].all()
    assert not panel.missing[30:].any()


def test_minutes_that_were_never_requested_failed_or_of_a_day_without_files_are_holes_and_empty_ones_are_not(
    lake: MemoryLake, hive: MemoryHive, settings: Settings
) -> None:
    rows = [candle("KRW-BTC", END - i * MINUTE, 100.0) for i in (1, 40, 60)]
    more = [candle("KRW-ETH", END - 60 * MINUTE, 50.0)]
    old = candle("KRW-BTC", END - 49 * 60 * MINUTE, 90.0)
    coverage = Coverage(
        END - 60 * MINUTE,
        END,
        "test",
        (
            Span("KRW-BTC", END - 60 * MINUTE, END - 30 * MINUTE, "asked"),
            Span("KRW-BTC", END - 30 * MINUTE, END - 20 * MINUTE, "hole", HoleReason.UNREACHABLE),
            Span("KRW-BTC", END - 10 * MINUTE, END, "quiet"),
            Span("KRW-ETH", END - 60 * MINUTE, END - 50 * MINUTE, "asked"),
        ),
    )
    lake.publish(f"{FOLDER}/{window_name(coverage.start, coverage.end)}", encode(to_table(rows + more), coverage))
    put(lake, to_table([old]), END - 50 * 60 * MINUTE, END - 48 * 60 * MINUTE, "/replica/candle/261122/live-1")
    ensure_day(hive, settings, "candle", "261124", FOLDER)
    ensure_day(hive, settings, "candle", "261122", "/replica/candle/261122/live-1")
    missing = load_panel(lake, hive, settings, end=END, minutes=49 * 60).missing
    assert np.flatnonzero(~missing[-60:, 0]).tolist() == [*range(30), *range(50, 60)]
    assert np.flatnonzero(~missing[-60:, 1]).tolist() == list(range(10))
    assert missing[-1500:-60, 0].all(), "of the day before there is nothing"


def test_bulk_history_follows_the_location_in_hive_over_midnight(
    lake: MemoryLake, hive: MemoryHive, settings: Settings
) -> None:
    last, first = (to_table([candle("KRW-BTC", END + i * MINUTE, 100.0 + i)]) for i in (-1, 0))
    put(lake, last, END - MINUTE, END, "/replica/candle/261124/live-1")
    lake.files["/replica/candle/261124/day-1/candle.parquet"] = encode(last, Coverage(END - MINUTE, END, "test"))
    lake.files["/replica/candle/261125/live-1/" + window_name(END, END + MINUTE)] = encode(
        first, Coverage(END, END + MINUTE, "test")
    )
    ensure_day(hive, settings, "candle", "261124", "/replica/candle/261124/day-1")
    ensure_day(hive, settings, "candle", "261125", "/replica/candle/261125/live-1")
    del lake.files[f"/replica/candle/261124/live-1/{window_name(END - MINUTE, END)}"]
    panel = load_panel(lake, hive, settings, end=END + MINUTE, minutes=2)
    assert panel.close[:, 0].tolist() == [99, 100]


def test_a_retrial_without_new_minutes_replaces_a_provisional_model(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, trained: TrainedModel
) -> None:
    first = save_model(lake, trained)
    history(lake, hive, settings, END)
    again = train_and_promote(lake, hive, settings, END + 3 * MINUTE)
    assert again["promoted"] is True
    assert "only 0 origins" in again["reason"]
    assert champion_version(lake) == again["version"] != first


def test_the_first_model_is_promoted_and_a_challenger_is_measured_on_minutes_that_neither_has_seen(
    lake: MemoryLake, hive: MemoryHive, settings: Settings
) -> None:
    history(lake, hive, settings, END - 300 * MINUTE)
    first = train_and_promote(lake, hive, settings, END - 300 * MINUTE)
    assert (first["promoted"], first["provisional"]) == (True, True)
    assert champion_version(lake) == first["version"]
    history(lake, hive, settings, END, minutes=700)
    second = train_and_promote(lake, hive, settings, END)
    assert "CRPS ratio on 86 unseen origins" in second["reason"]
    for rival in ("naive", "unconditional", "scaled", f"champion {first['version']}"):
        assert f"to {rival}" in second["reason"]
    assert second["promoted"] is (second["comparison"]["ratio"] < 1)
    assert json.loads(lake.files[f"/replica/model/{second['version']}/card.json"])["comparison"] == second["comparison"]
    assert champion_version(lake) == (second if second["promoted"] else first)["version"]


def test_an_empty_lake_is_no_history(lake: MemoryLake, hive: MemoryHive, settings: Settings) -> None:
    with pytest.raises(NotEnoughHistory, match="min_candle"):
        train_and_promote(lake, hive, settings, END)


def test_the_first_write_of_an_origin_wins(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, champion: Champion, reverting: Panel
) -> None:
    table = predict(champion, reverting, END)
    made = store(lake, hive, settings, table)
    assert made is not None
    assert made.name == "202611241500.parquet"
    path = "/replica/forecast/261125/live-1/202611241500.parquet"  # 15:00 UTC is midnight in Korea
    kept = lake.files[path]
    other = table.set_column(15, table.schema.field(15), pa.array(["another"] * table.num_rows))
    assert store(lake, hive, settings, other) is None
    assert lake.files[path] == kept


def test_the_next_run_registers_a_day_whose_run_died_before_that(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, champion: Champion, reverting: Panel
) -> None:
    table = predict(champion, reverting, END)
    store(lake, MemoryHive(), settings, table)
    assert hive.locations == {}
    assert store(lake, hive, settings, table) is None
    assert hive.folder("upbit_lake_replica.forecast_261125") == "live-1"
    assert hive.folder("upbit_lake_replica.forecast PARTITION (dt='2026-11-25')") == "live-1"


def test_forecasts_go_to_the_newest_live_snapshot_of_an_open_day_only(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, champion: Champion, reverting: Panel
) -> None:
    for snapshot in (1, 3):
        lake.files[f"/replica/forecast/261125/live-{snapshot}/202611241458.parquet"] = b""
    table = predict(champion, reverting, END)
    store(lake, hive, settings, table)
    assert "/replica/forecast/261125/live-3/202611241500.parquet" in lake.files
    sink = io.BytesIO()
    with parquet_writer(sink, table.schema, metadata(None, {"origins": ["202611241458"]})) as writer:
        writer.write_table(table.slice(0, 0))
    lake.files["/replica/forecast/261125/day-1/forecast.parquet"] = sink.getvalue()
    with pytest.raises(LakeConflict, match="the day is complete"):
        store(lake, hive, settings, table)


def test_a_table_that_is_not_the_forecast_of_one_origin_is_refused(
    lake: MemoryLake, hive: MemoryHive, settings: Settings, champion: Champion, reverting: Panel
) -> None:
    one, two = (predict(champion, reverting, END - i * MINUTE) for i in (0, 2))
    for bad in (pa.concat_tables([one, two]), one.slice(0, 0), one.drop_columns(["q05"])):
        with pytest.raises(ValueError, match=r"one origin|not a forecast table"):
            store(lake, hive, settings, bad)
    assert lake.files == {}
