from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
import torch

from tests.unit.forecast.market import END, bounce, closes, panel_of, swing, walk
from upbit_elt.candle import wire
from upbit_elt.errors import NotEnoughHistory
from upbit_elt.forecast import features
from upbit_elt.forecast.artifacts import Champion
from upbit_elt.forecast.evaluate import prices
from upbit_elt.forecast.panel import Panel, PanelBuilder
from upbit_elt.forecast.predict import predict
from upbit_elt.forecast.schema import FORECAST_SCHEMA, HORIZONS, MEDIAN, QUANTILE_COLUMNS
from upbit_elt.forecast.train import LEAST_MINUTES, ORIGINS, TrainedModel, sample, train


def test_a_signal_that_can_be_learnt_is_learnt(trained: TrainedModel) -> None:
    first = trained.card["horizons"][0]
    for rival in ("naive", "unconditional", "scaled"):
        assert first["crps"] < 0.9 * first[f"crps_{rival}"]
    assert 0.85 < first["coverage_90"] <= 1


def test_without_a_signal_every_median_is_the_last_price() -> None:
    panel = panel_of(walk(600, 8), 600)
    made = train(panel, now=END)
    assert all(row["mae"] == row["mae_naive"] for row in made.card["horizons"] if row["rows"])
    rows = predict(Champion("v", made.card, made.net), panel, END)
    medians = np.reshape(rows.column("q50").to_numpy(), (8, len(HORIZONS)))
    np.testing.assert_array_equal(medians, np.repeat(panel.close[-1][:, None], len(HORIZONS), axis=1))


def test_the_median_leaves_the_last_price_where_that_helps() -> None:
    first, second = train(panel_of(swing(600, 8), 600), now=END).card["horizons"][:2]
    assert first["mae"] < 0.5 * first["mae_naive"]  # nine of ten minutes swing back
    assert second["mae"] == second["mae_naive"]  # two minutes later the price is where it was


@pytest.fixture(scope="module")
def little() -> Panel:
    """200 minutes of 4 markets, in a panel that would hold more."""
    return panel_of(bounce(200, 4), 5000)


@pytest.fixture(scope="module")
def made(little: Panel) -> TrainedModel:
    return train(little, now=END)


def test_the_same_panel_and_seed_give_the_same_model_and_the_callers_random_numbers_are_left_alone(
    made: TrainedModel, little: Panel
) -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)  # another random state of the caller changes nothing
    again = train(little, now=END)
    torch.testing.assert_close(torch.rand(3), expected)
    for name, weights in made.net.state_dict().items():
        torch.testing.assert_close(again.net.state_dict()[name], weights, rtol=0, atol=0)
    assert again.card == made.card


@pytest.mark.soak
def test_another_seed_gives_another_model(made: TrainedModel, little: Panel) -> None:
    other = train(little, now=END, seed=8)
    assert not torch.equal(other.net.head.weight, made.net.head.weight)


def test_the_two_hundred_minutes_that_are_there_are_enough_for_a_provisional_model(made: TrainedModel) -> None:
    card = json.loads(json.dumps(made.card, allow_nan=False))
    assert card["provisional"] is True
    assert card["data"] == {
        "start": f"{wire(END - timedelta(minutes=200))}Z",
        "end": f"{wire(END)}Z",
        "minutes": 200,
        "markets": 4,
    }
    assert [row["horizon"] for row in card["horizons"]] == list(HORIZONS)
    assert all(row["rows"] > 0 and row["crps"] is not None for row in card["horizons"])
    assert card["version"] == "20261124T1500Z"


def test_the_spans_of_the_card_do_not_overlap_and_the_test_comes_last(trained: TrainedModel) -> None:
    spans = trained.card["spans"]
    assert spans["train"][1] == spans["calibration"][0]
    assert spans["calibration"][1] == spans["test"][0]
    assert spans["test"][1] == trained.card["data"]["end"]


def test_no_outcome_that_was_learnt_from_reaches_into_the_spans_after(trained: TrainedModel, reverting: Panel) -> None:
    end = datetime.fromisoformat(trained.card["spans"]["train"][1])
    targets = trained.train.batch.row[:, None] + 1 + np.array(HORIZONS)  # a row is known at the end of its minute
    last = targets[~np.isnan(trained.train.returns)].max()
    assert reverting.start + timedelta(minutes=int(last)) == end


def test_too_little_history_says_how_much_is_needed() -> None:
    short = panel_of(bounce(LEAST_MINUTES - 1, 3), 1440)
    with pytest.raises(NotEnoughHistory, match=f"needs {LEAST_MINUTES} minutes.*holds {LEAST_MINUTES - 1} "):
        train(short, now=END)
    with pytest.raises(NotEnoughHistory, match="holds 0 "):
        train(panel_of(bounce(10, 3), 60, end=END + timedelta(days=1)), now=END)


def test_predictions_cover_all_markets_in_one_ordered_table(champion: Champion, reverting: Panel) -> None:
    rows = predict(champion, reverting, END)
    assert rows.schema == FORECAST_SCHEMA
    assert rows.num_rows == len(reverting.markets) * len(HORIZONS)
    assert rows.column("market").to_pylist()[:: len(HORIZONS)] == list(reverting.markets)
    assert set(rows.column("origin").to_pylist()) == {"2026-11-24T15:00:00"}
    assert rows.column("target").to_pylist()[: len(HORIZONS)] == [
        wire(END + timedelta(minutes=horizon)) for horizon in HORIZONS
    ]
    quantiles = np.stack([rows.column(name).to_numpy() for name in QUANTILE_COLUMNS], axis=1)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    np.testing.assert_array_equal(quantiles, np.rint(quantiles))  # the tick of these markets is 1
    assert (rows.column("volatility").to_numpy() > 0).all()
    assert set(rows.column("model_version").to_pylist()) == {champion.version}


def bands(rows: pa.Table) -> np.ndarray[tuple[int, int, int], np.dtype[np.float64]]:
    """The quantiles of a table of forecasts, shape (markets, horizons, quantiles)."""
    flat = np.stack([rows.column(name).to_numpy() for name in QUANTILE_COLUMNS], axis=1)
    return flat.reshape(-1, len(HORIZONS), len(QUANTILE_COLUMNS))


def test_bands_widen_with_the_horizon_also_those_of_a_provisional_model(made: TrainedModel, little: Panel) -> None:
    for origin in (END, END - timedelta(minutes=50), END - timedelta(minutes=100)):
        rows = predict(Champion("v", made.card, made.net), little, origin)
        quantiles = bands(rows)
        still = quantiles - quantiles[..., [MEDIAN]]
        assert (np.diff(still[..., -1], axis=1) >= 0).all()
        assert (np.diff(still[..., 0], axis=1) <= 0).all()
        for name in ("volatility", "expected_volume"):
            assert (np.diff(rows.column(name).to_numpy().reshape(-1, len(HORIZONS)), axis=1) >= 0).all()


def tiny(minutes: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Markets whose tick is a tenth of the price or more: one jumps to and fro, others hardly move, or not at all."""
    rng = np.random.default_rng(5)
    walk = np.cumsum(rng.choice([-1, 0, 1], p=[0.05, 0.9, 0.05], size=minutes))
    ticks = {
        "BTC-FLIP": 1 + (rng.random(minutes) < 0.5),
        "BTC-SPIKE": np.where(rng.random(minutes) < 0.05, 2, 1),
        "BTC-STILL": np.full(minutes, 4),
        "BTC-WALK": np.maximum(walk + 8, 1),
    }
    return {name: steps / 1e8 for name, steps in ticks.items()}


def test_bands_of_tiny_prices_stay_within_what_the_price_did(champion: Champion) -> None:
    builder = PanelBuilder(end=END, minutes=600)
    for table in (bounce(600, 8), closes(tiny(600))):
        builder.add(table)
    panel = builder.build()
    batch = features.batch(panel, np.array([399, 599]))
    wild = np.sort(np.random.default_rng(0).normal(scale=100, size=(len(batch), len(HORIZONS), 9)), axis=-1)
    found = {name: bands(predict(champion, panel.only({name}), END))[0] for name in tiny(1)}
    for name, quantiles in found.items():
        last = panel.close[-1, panel.markets.index(name)]
        assert (quantiles >= 1e-8 * (1 - 1e-9)).all(), name
        np.testing.assert_allclose(quantiles * 1e8, np.rint(quantiles * 1e8), rtol=1e-9)
        assert (quantiles <= 4 * last).all(), name
    np.testing.assert_array_equal(found["BTC-STILL"], 4e-8)
    served = prices(batch, wild - wild[..., [MEDIAN]]) / batch.last[:, None, None]
    assert (served < 100).all(), "whatever a network says"
    assert (np.diff(served, axis=-1) >= 0).all()


def test_all_markets_pass_the_network_at_once(champion: Champion, reverting: Panel) -> None:
    sizes: list[int] = []
    watch = champion.model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    trunk = champion.model.trunk.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    predict(champion, reverting, END)
    watch.remove()
    trunk.remove()
    assert set(sizes) == {len(reverting.markets)}


def test_expected_volume_grows_with_the_horizon_and_follows_the_market(champion: Champion, reverting: Panel) -> None:
    volume = np.reshape(predict(champion, reverting, END).column("expected_volume").to_numpy(), (-1, len(HORIZONS)))
    assert (np.diff(volume, axis=1) > 0).all()
    half_hour = reverting.volume[-30:].sum(axis=0)
    np.testing.assert_allclose(volume[:, HORIZONS.index(30)], half_hour, rtol=0.35)


def test_a_past_origin_is_forecast_from_what_was_known_then(champion: Champion, reverting: Panel) -> None:
    origin = END - timedelta(minutes=100)
    assert predict(champion, reverting, origin).equals(predict(champion, reverting.until(origin), origin))


def test_a_market_without_a_price_gets_no_forecast(champion: Champion, reverting: Panel) -> None:
    unknown = reverting.close.copy()
    unknown[:, 2] = np.nan
    panel = replace(reverting, close=unknown, traded=reverting.traded.copy())
    panel.traded[:, 2] = False
    markets = set(predict(champion, panel, END).column("market").to_pylist())
    assert markets == set(reverting.markets) - {reverting.markets[2]}


def test_an_origin_that_is_not_covered_is_refused(champion: Champion, reverting: Panel) -> None:
    with pytest.raises(NotEnoughHistory, match="known until 2026-11-24T15:00:00, not until 2026-11-24T15:02:00"):
        predict(champion, reverting, END + timedelta(minutes=2))
    with pytest.raises(NotEnoughHistory, match=r"needs 30 minutes .* there are 10"):
        predict(champion, reverting, reverting.start + timedelta(minutes=10))


@pytest.mark.parametrize(("markets", "samples"), [(5, 4000), (40, 4000)])
def test_with_many_markets_a_sample_has_as_many_moments(markets: int, samples: int) -> None:
    panel = panel_of(closes({f"KRW-{number:02}": np.full(800, 5.0) for number in range(markets)}), 800)
    made = sample(panel, np.arange(100, 800), samples, np.random.default_rng(0))
    assert len(made.batch) <= samples
    assert len(made.batch) > 0.8 * min(samples, 700 * markets)
    assert np.unique(made.batch.market).size == markets
    assert np.unique(made.batch.row).size >= 0.99 * ORIGINS
