"""Trains a challenger, and decides whether it replaces the champion, the model in use."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import numpy as np

from upbit_elt.candle import MINUTE
from upbit_elt.errors import NoModel, NotEnoughHistory, UnusableModel
from upbit_elt.forecast.artifacts import FIRST, Champion, Promotion, load_champion, save_model
from upbit_elt.forecast.evaluate import BASIS_POINT, Sample, baselines, forecast, log_returns
from upbit_elt.forecast.load_panel import load_panel
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Floats, Ints, Panel
from upbit_elt.forecast.scoring import crps
from upbit_elt.forecast.train import TrainedModel, train
from upbit_elt.lake.freshness import Freshness
from upbit_elt.lake.ledger import live_coverage
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive

TRAIN_DAYS = 14
LEAST_ORIGINS = 60
BLOCKS = 10  # of a day they are longer than the longest horizon
STUDENT = 1.833  # 95 % quantile of Student's t with BLOCKS - 1 degrees of freedom


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

    The challenger is promoted when its CRPS is below the champion's, as the mean over the horizons of their ratio, by
    more than chance makes of it (`ratio_and_margin`). Against a provisional champion being below is enough, and with
    too few such origins it replaces only a provisional one. The ratios to the baselines are stated and decide nothing:
    where they are better than both models, the better model is better still.
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
    own = _losses(trained.net, test)
    ratio, margin = ratio_and_margin(own, _losses(champion.model, test), test.batch.row)
    known = np.count_nonzero(~np.isnan(own), axis=0)
    beside = {
        name: round(_ratio(np.nansum(own, axis=0) / np.maximum(known, 1) / BASIS_POINT, rival), 4)
        for name, rival in baselines(trained.net, trained.train, test).items()
    }
    numbers = {"champion": champion.version, "origins": origins, "ratio": round(ratio, 4), "margin": round(margin, 4)}
    words = ", ".join(f"{value:.4f} to {name}" for name, value in beside.items())
    return Promotion(
        ratio < 1 if champion.card["provisional"] else ratio + margin < 1,
        f"CRPS ratio on {origins} unseen origins: {ratio:.4f} ± {margin:.4f} to champion {champion.version}; {words}",
        provisional,
        {**numbers, "baselines": beside},
    )


def _losses(net: QuantileNet, test: Sample) -> Floats:
    """CRPS of a model's served quantiles, (N, horizons), NaN where no outcome is known."""
    return crps(log_returns(test.batch, forecast(net, test.batch).prices), test.returns)


def ratio_and_margin(own: Floats, rival: Floats, rows: Ints) -> tuple[float, float]:
    """Mean over the horizons of the ratio of two losses (N, horizons), and the margin below 1 at which it is no chance.

    The span is cut into BLOCKS parts of time, with all markets together, since neighbouring minutes and markets share
    their luck. The margin is what the ratio stays below, one-sided at 95 %, by the parts' standard error.
    """
    known = ~np.isnan(own) & ~np.isnan(rival)
    total = np.where(known, rival, 0.0).sum(axis=0)
    useful = total > 0
    if not useful.any():
        return 1.0, 0.0
    more = np.where(known, own - rival, 0.0)[:, useful] / total[useful]
    parts = np.array_split(np.unique(rows), BLOCKS)
    shares = np.array([more[np.isin(rows, part)].sum(axis=0).mean() for part in parts])
    return 1 + float(shares.sum()), STUDENT * float(np.sqrt(BLOCKS) * shares.std(ddof=1))


def _ratio(own: Floats, rival: Floats) -> float:
    """Mean ratio over the horizons in which the rival has an error; 1 when there is none."""
    useful = rival > 0
    return float((own[useful] / rival[useful]).mean()) if useful.any() else 1.0
