from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa

from tests.unit.forecast.market import END, candle, closes, panel_of
from upbit_elt.candle import Candle, to_table
from upbit_elt.forecast.panel import COLUMNS, PanelBuilder
from upbit_elt.intervals import Interval


def at(minute: int, close: float, market: str = "KRW-BTC", volume: float = 1.0) -> Candle:
    """A candle `minute` minutes after the start of a 5-minute window that ends at END."""
    return candle(market, END + timedelta(minutes=minute - 5), close, volume=volume, spread=2.0)


def test_an_empty_minute_carries_the_last_price_with_zero_volume() -> None:
    panel = panel_of(to_table([at(1, 100.0), at(3, 104.0)]), 5)
    np.testing.assert_array_equal(panel.close[:, 0], [np.nan, 100, 100, 104, 104])
    np.testing.assert_array_equal(panel.high[:, 0], [np.nan, 102, 100, 106, 104])
    np.testing.assert_array_equal(panel.low[:, 0], [np.nan, 98, 100, 102, 104])
    np.testing.assert_array_equal(panel.volume[:, 0], [0, 1, 0, 1, 0])
    np.testing.assert_array_equal(panel.traded[:, 0], [False, True, False, True, False])
    assert panel.first.tolist() == [1]


def test_the_later_row_of_a_key_that_comes_twice_counts_once() -> None:
    builder = PanelBuilder(end=END, minutes=5)
    builder.add(to_table([at(0, 100.0), at(1, 101.0)]))
    builder.add(to_table([at(1, 150.0, volume=7.0)]))
    panel = builder.build()
    assert panel.close[:2, 0].tolist() == [100, 150]
    assert panel.volume.sum() == 8


def test_rows_outside_of_the_window_are_left_out_and_markets_are_sorted() -> None:
    rows = [at(-1, 90.0), at(5, 95.0), at(4, 10.0, "KRW-XRP"), at(0, 100.0), at(4, 20.0, "KRW-ADA")]
    panel = panel_of(to_table(rows), 5)
    assert panel.markets == ("KRW-ADA", "KRW-BTC", "KRW-XRP")
    assert panel.close.shape == (5, 3)
    np.testing.assert_array_equal(panel.close[-1], [20, 100, 10])
    assert panel.covered.all(), "of three markets none may have traded"


def test_minutes_without_any_trade_are_an_outage_only_where_many_markets_trade_in_a_minute() -> None:
    few, many = ({f"KRW-{i}": [1.0, np.nan, np.nan, 2.0] for i in range(count)} for count in (4, 5))
    assert panel_of(closes(few), 5).covered.tolist() == [False, True, True, True, True]
    assert panel_of(closes(many), 5).covered.tolist() == [False, True, False, False, True]
    thin = {f"BTC-{i:02}": np.where(np.arange(300) % 100 == 3 * i, 1.0, np.nan) for i in range(30)}
    assert panel_of(closes(thin), 300).covered.all(), "each of thirty trades once in 100 minutes"


def test_minutes_that_are_holes_of_all_markets_are_no_data() -> None:
    builder = PanelBuilder(end=END, minutes=4)
    builder.add(closes({"KRW-A": [1.0, np.nan, np.nan, 2.0], "KRW-B": [1.0, np.nan, np.nan, 2.0]}))
    builder.add_hole("KRW-A", Interval(END - timedelta(minutes=3), END - timedelta(minutes=1)))
    builder.add_hole("KRW-B", Interval(END - timedelta(minutes=3), END - timedelta(minutes=2)))
    assert builder.build().covered.tolist() == [True, False, True, True]


def test_recorded_candles_with_arrow_timestamps_are_read_too() -> None:
    table = to_table([at(2, 100.0)]).select(COLUMNS)
    moments = table.column("candle_date_time_utc").cast(pa.timestamp("ms"))
    table = table.set_column(1, "candle_date_time_utc", moments)
    assert panel_of(table, 5).traded[:, 0].tolist() == [False, False, True, False, False]


def test_a_cut_keeps_the_prices_carried_from_before_it() -> None:
    panel = panel_of(to_table([at(0, 100.0), at(4, 105.0)]), 5)
    cut = panel.until(END - timedelta(minutes=1)).tail(2)
    assert (cut.start, cut.end, cut.minutes) == (END - timedelta(minutes=3), END - timedelta(minutes=1), 2)
    assert cut.close[:, 0].tolist() == [100, 100]
    assert panel.until(END - timedelta(days=1)).minutes == 0


def test_a_panel_of_nothing_has_no_markets() -> None:
    panel = panel_of(to_table([]), 5)
    assert panel.markets == ()
    assert not panel.covered.any()
