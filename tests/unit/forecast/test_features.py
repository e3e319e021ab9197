from __future__ import annotations

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.unit.forecast.market import END, bounce, candle, closes, panel_of
from upbit_elt.candle import to_table, wire
from upbit_elt.forecast import features
from upbit_elt.forecast.panel import BUSY, Panel, PanelBuilder
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.intervals import Interval


def column(batch: features.Batch, name: str) -> np.ndarray[tuple[int], np.dtype[np.floating]]:
    values: np.ndarray[tuple[int], np.dtype[np.floating]] = batch.x[:, features.NAMES.index(name)]
    return values


def test_features_know_nothing_of_the_future(reverting: Panel) -> None:
    origin = 400
    informed = features.batch(reverting, np.array([origin]))
    blind = features.batch(reverting.until(reverting.start + timedelta(minutes=origin + 1)), np.array([origin]))
    np.testing.assert_allclose(informed.x, blind.x, atol=1e-5)
    np.testing.assert_array_equal(informed.last, blind.last)


def test_features_do_not_depend_on_the_price_level_nor_on_the_unit_of_volume() -> None:
    table = bounce(300, 3)
    scaled = table
    for name in ("high_price", "low_price", "trade_price", "candle_acc_trade_volume"):
        number = scaled.schema.get_field_index(name)
        scaled = scaled.set_column(number, name, pc.multiply(scaled.column(name), 1000.0))
    rows = np.array([250, 299])
    a, b = (features.batch(panel_of(one, 300), rows) for one in (table, scaled))
    np.testing.assert_allclose(a.x, b.x, atol=2e-4)


def test_a_block_of_markets_gives_what_one_market_alone_gives(reverting: Panel) -> None:
    rows = np.array([100, 599])
    whole = features.batch(reverting, rows)
    single = features.batch(reverting, rows, cells=reverting.minutes)
    np.testing.assert_array_equal(whole.market, single.market)
    np.testing.assert_array_equal(whole.x, single.x)


def test_a_late_listing_is_sampled_from_its_first_price_and_learnt_from_after_a_warm_up() -> None:
    old = [candle("KRW-BTC", END - timedelta(minutes=100 - i), 1000.0 + i % 7) for i in range(100)]
    new = [candle("KRW-NEW", END - timedelta(minutes=50 - i), 50.0 + i % 3) for i in range(50)]
    panel = panel_of(to_table(old + new), 100)
    batch = features.batch(panel, np.array([40, 60, 99]))
    assert batch.market.tolist() == [0, 0, 0, 1, 1]
    assert batch.row.tolist() == [40, 60, 99, 60, 99]
    assert features.learnable(panel, batch).tolist() == [True, True, True, False, True]
    assert np.isfinite(batch.x).all()


def torn_panel() -> Panel:
    """200 minutes of two markets; KRW-ETH has a hole from minute 80 on for 20 minutes, KRW-BTC candles there."""
    rows = [candle("KRW-BTC", END - timedelta(minutes=200 - i), 1000.0 + i % 7) for i in range(200)]
    lost = [candle("KRW-ETH", END - timedelta(minutes=200 - i), 50.0 + i % 3) for i in range(200) if not 80 <= i < 100]
    builder = PanelBuilder(end=END, minutes=200)
    builder.add(to_table(rows + lost))
    builder.add_hole("KRW-ETH", Interval(END - timedelta(minutes=120), END - timedelta(minutes=100)))
    builder.add_hole("KRW-BTC", Interval(END - timedelta(minutes=120), END - timedelta(minutes=100)))
    return builder.build()


def test_nothing_is_learnt_from_a_window_or_a_target_that_touches_a_hole() -> None:
    panel, rows = torn_panel(), (70, 78, 79, 90, 110, 128, 129)
    assert panel.missing.sum(axis=0).tolist() == [0, 20], "a candle of such a minute counts all the same"
    batch = features.batch(panel, np.array(rows))
    found = dict(zip(zip(batch.market.tolist(), batch.row.tolist(), strict=True), range(len(batch)), strict=True))
    learnable = features.learnable(panel, batch)
    assert [bool(learnable[found[1, row]]) for row in rows] == [True, True, True, False, False, False, True]
    assert learnable[[found[0, row] for row in rows]].all()
    returns, volumes = features.outcomes(panel, batch)
    for part in (returns, volumes):
        assert np.isnan(part[found[1, 70]]).tolist() == [horizon >= 10 for horizon in HORIZONS]
        assert np.isnan(part[found[1, 79]]).all(), "every horizon touches the hole"
        assert not np.isnan(part[found[0, 79]]).any()
        assert not np.isnan(part[found[1, 110]]).any(), "the hole lies behind it"


def test_one_lost_minute_is_a_hole_and_one_without_a_trade_is_none() -> None:
    prices = np.where(np.arange(120) == 60, np.nan, 50.0 + np.arange(120) % 3)
    builder = PanelBuilder(end=END, minutes=120)
    builder.add(closes({"KRW-BTC": np.full(120, 9.0), "KRW-LOST": prices, "KRW-QUIET": prices}))
    builder.add_hole("KRW-LOST", Interval(END - timedelta(minutes=60), END - timedelta(minutes=59)))
    panel = builder.build()
    batch = features.batch(panel, np.array([58, 75, 95]))
    assert features.learnable(panel, batch).tolist() == [True, True, True, True, False, True, True, True, True]
    returns, _ = features.outcomes(panel, batch)
    assert np.isnan(returns[3]).tolist() == [horizon >= 2 for horizon in HORIZONS]
    assert not np.isnan(returns[6, :-1]).any()


def test_longer_windows_leave_a_hole_out() -> None:
    panel = torn_panel()
    whole = panel_of(closes({"KRW-BTC": np.full(200, 9.0), "KRW-ETH": 50.0 + np.arange(200) % 3}), 200)
    torn, same = (features.batch(one, np.array([150])) for one in (panel, whole))
    assert torn.rate[1] == pytest.approx(same.rate[1], rel=1e-6), "half an hour, hours, a day: 1 a minute each"
    for name in ("volume_240", "traded_240", "moved_240", "close_vol_240", "above_mean_120"):
        assert column(torn, name)[1] == pytest.approx(column(same, name)[1], abs=0.05), name


def test_the_minutes_of_a_thin_market_without_a_trade_are_data() -> None:
    prices = np.where(np.arange(300) % 4 == 0, 100.0 + np.arange(300) % 3, np.nan)
    panel = panel_of(closes({"KRW-THIN": prices}), 400)
    assert panel.covered.sum() == 300, "since its first trade"
    batch = features.batch(panel, np.array([399]))
    assert batch.rate[0] == pytest.approx(0.25, rel=0.05)
    assert column(batch, "traded_240")[0] == pytest.approx(0.25, rel=0.05)


def test_a_jump_shows_in_the_returns_scaled_by_the_volatility_of_the_last_half_hour() -> None:
    rows = [candle("KRW-BTC", END - timedelta(minutes=60 - i), 1000.0 + (i == 59) * 10, spread=5.0) for i in range(60)]
    batch = features.batch(panel_of(to_table(rows), 60), np.array([58, 59]))
    sigma = np.log(1005 / 995) / (4 * np.log(2)) ** 0.5
    assert batch.sigma[0] == pytest.approx(sigma, rel=0.1)
    assert column(batch, "return_1")[0] == 0
    assert column(batch, "return_1")[1] == pytest.approx(np.log(1.01) / sigma, rel=0.1)
    assert column(batch, "BTC_1")[1] > 3


def test_outcomes_are_what_followed_and_unknown_past_the_end(reverting: Panel) -> None:
    batch = features.batch(reverting, np.array([300, 590]))
    returns, volumes = features.outcomes(reverting, batch)
    pick = 2 * 5  # row 300 of the sixth market
    five = HORIZONS.index(5)
    assert returns[pick, five] == pytest.approx(np.log(reverting.close[305, 5] / reverting.close[300, 5]))
    assert volumes[pick, five] == pytest.approx(reverting.volume[301:306, 5].sum(), rel=1e-6)
    assert np.isnan(returns[pick + 1]).tolist() == [590 + horizon > 599 for horizon in HORIZONS]


def test_an_outage_is_not_learnt_as_a_calm_market() -> None:
    table = bounce(600, BUSY)
    dark = [wire(END - timedelta(minutes=600 - i)) for i in range(300, 340)]
    kept = table.filter(pc.invert(pc.is_in(table.column("candle_date_time_utc"), pa.array(dark))))
    panel = panel_of(kept, 600)
    batch = features.batch(panel, np.array([250, 298, 340, 400]))
    returns, _ = features.outcomes(panel, batch)
    assert np.isnan(returns[0]).tolist() == [horizon == 60 for horizon in HORIZONS]
    assert np.isnan(returns[1]).tolist() == [horizon > 1 for horizon in HORIZONS]
    assert features.learnable(panel, batch)[:4].tolist() == [True, True, False, True]


def test_a_market_is_led_by_the_pairs_of_its_own_quote_currency() -> None:
    still = np.full(60, 100.0) + np.arange(60) % 2
    prices = {name: still.copy() for name in ("KRW-BTC", "KRW-XRP", "USDT-BTC", "USDT-XRP", "BTC-XRP", "BTC-ETH")}
    prices["KRW-BTC"][59], prices["USDT-BTC"][59], prices["BTC-ETH"][59] = 110.0, 90.0, 110.0
    panel = panel_of(closes(prices), 60)
    batch = features.batch(panel, np.array([59]))
    led = {panel.markets[number]: row for row, number in enumerate(batch.market)}
    by_btc, by_eth, by_all = (column(batch, f"{leader}_1") for leader in ("BTC", "ETH", "all"))
    assert by_btc[led["KRW-XRP"]] == by_btc[led["KRW-BTC"]] > 3
    assert by_btc[led["USDT-XRP"]] == by_btc[led["USDT-BTC"]] < -3
    assert by_btc[led["BTC-XRP"]] == 0, "BTC in BTC never moves"
    assert by_eth[led["BTC-XRP"]] > 3 > by_eth[led["KRW-XRP"]] == 0, "KRW-ETH is not listed"
    assert by_all[led["USDT-XRP"]] < 0 < by_all[led["KRW-XRP"]]
