"""Trains a challenger, and decides whether it replaces the champion, the model in use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from upbit_elt.candle import MINUTE
from upbit_elt.errors import NoModel, NotEnoughHistory, UnusableModel
from upbit_elt.forecast.artifacts import FIRST, Champion, Promotion, load_champion, save_model
from upbit_elt.forecast.evaluate import Sample, baselines, forecast, log_returns, mean_crps
from upbit_elt.forecast.load_panel import load_panel
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Floats, Panel
from upbit_elt.forecast.train import TrainedModel, train
from upbit_elt.lake.freshness import Freshness
from upbit_elt.lake.ledger import live_coverage
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

TRAIN_DAYS = 14
LEAST_ORIGINS = 60


def train_and_promote(lake: Lake, hive: Hive, settings: Settings, now: datetime) -> dict[str, Any]:
    """Train on the newest TRAIN_DAYS days of the lake, store the model, and promote it if it beats the champion.

    Gives the model's card, with `promoted`, `reason` and `provisional`.

    Raises:
        NotEnoughHistory: the lake holds too few minutes yet.
    """
    coverage = live_coverage(lake)
    if coverage is None:
        raise NotEnoughHistory("the lake holds no candles yet; let the DAG min_candle run first")
    known_until = Freshness.of(coverage).covered_until
    panel = load_panel(lake, hive, settings, end=known_until, minutes=TRAIN_DAYS * 1440)
    trained = train(panel, now=now)
    verdict = _against_champion(trained, lake, panel)
    save_model(lake, trained, verdict)
    return trained.card | verdict._asdict()


def _against_champion(trained: TrainedModel, lake: Lake, panel: Panel) -> Promotion:
    """Compare with the champion; one that cannot be used counts as none, so that it can be replaced."""
    try:
        return compare_with_champion(trained, load_champion(lake), panel)
    except UnusableModel as error:
        return Promotion(True, f"{error.why}: it counts as none, so this one is provisional", provisional=True)
    except NoModel:
        return compare_with_champion(trained, None, panel)


def compare_with_champion(trained: TrainedModel, champion: Champion | None, panel: Panel) -> Promotion:
    """Compare with the champion on origins that neither has seen: the challenger's test span after the champion's data.

    The challenger is promoted when the mean over the horizons of its CRPS divided by the rival's is below 1, for the
    champion and for every baseline. With too few such origins it replaces only a provisional champion.
    """
    if champion is None:
        return FIRST
    provisional = bool(trained.card["provisional"])
    seen = (datetime.fromisoformat(champion.card["data"]["end"]) - panel.start) // MINUTE
    test = trained.test.take(trained.test.batch.row + 1 >= seen)
    origins = np.unique(test.batch.row).size
    if origins < LEAST_ORIGINS:
        why = f"only {origins} origins that neither it nor champion {champion.version} has seen"
        if champion.card["provisional"]:
            return Promotion(True, f"{why}; it replaces a provisional model", provisional)
        return Promotion(False, f"{why}, {LEAST_ORIGINS} are needed", provisional)
    rivals = baselines(trained.net, trained.train, test)
    rivals[f"champion {champion.version}"] = _served(champion.model, test)
    ratios = {name: _ratio(_served(trained.net, test), rival) for name, rival in rivals.items()}
    words = ", ".join(f"{ratio:.4f} to {name}" for name, ratio in ratios.items())
    return Promotion(max(ratios.values()) < 1, f"CRPS ratio on {origins} unseen origins: {words}", provisional)


def _served(net: QuantileNet, test: Sample) -> Floats:
    return mean_crps(log_returns(test.batch, forecast(net, test.batch).prices), test.returns)


def _ratio(own: Floats, rival: Floats) -> float:
    """Mean ratio over the horizons in which the rival has an error; 1 when there is none."""
    useful = rival > 0
    return float((own[useful] / rival[useful]).mean()) if useful.any() else 1.0
