from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from tests.unit.forecast.market import END
from upbit_elt.candle import wire
from upbit_elt.forecast.artifacts import FIRST, Champion
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.promote import compare_with_champion, ratio_and_margin
from upbit_elt.forecast.train import TrainedModel


def rival(trained: TrainedModel, **data: Any) -> Champion:
    """A champion that is worse than the model: it spreads its quantiles three times as far."""
    net = QuantileNet(trained.net.mean.numel()).eval()
    net.load_state_dict(trained.net.state_dict())
    net.blend.zero_()
    net.base.mul_(3)
    return Champion("old", trained.card | data, net)


def seen_until(minutes_before: int) -> dict[str, Any]:
    return {"data": {"end": f"{wire(END - timedelta(minutes=minutes_before))}Z"}}


def test_the_first_model_wins(trained: TrainedModel, reverting: Panel) -> None:
    assert compare_with_champion(trained, None, reverting) == FIRST


def test_a_better_challenger_takes_over(trained: TrainedModel, reverting: Panel) -> None:
    verdict = compare_with_champion(trained, rival(trained, **seen_until(70)), reverting)
    assert verdict.promoted
    assert "70 unseen origins" in verdict.reason


def test_the_same_model_again_does_not(trained: TrainedModel, reverting: Panel) -> None:
    verdict = compare_with_champion(trained, replace(rival(trained, **seen_until(70)), model=trained.net), reverting)
    assert not verdict.promoted
    assert "1.0000 ± 0.0000 to champion old" in verdict.reason


def test_a_better_challenger_takes_over_also_where_it_is_no_better_than_its_own_base(
    trained: TrainedModel, reverting: Panel
) -> None:
    plain = QuantileNet(trained.net.mean.numel()).eval()
    plain.load_state_dict(trained.net.state_dict())
    plain.blend.zero_()
    for provisional in (True, False):
        champion = rival(trained, **seen_until(70), provisional=provisional)
        verdict = compare_with_champion(replace(trained, net=plain), champion, reverting)
        assert verdict.promoted
        assert verdict.comparison is not None
        numbers = verdict.comparison
        assert numbers["baselines"]["scaled"] == 1
        assert 0 < numbers["margin"] < 1 - numbers["ratio"]
        assert (numbers["champion"], numbers["origins"]) == ("old", 70)
        assert f"{numbers['ratio']:.4f} ± {numbers['margin']:.4f} to champion old; " in verdict.reason


def test_a_worse_challenger_does_not(trained: TrainedModel, reverting: Panel) -> None:
    better = replace(rival(trained, **seen_until(70)), model=trained.net)
    verdict = compare_with_champion(replace(trained, net=rival(trained).model), better, reverting)
    assert not verdict.promoted
    assert verdict.comparison is not None
    assert verdict.comparison["ratio"] > 1


def losses(gain: float, noise: float) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Losses (origins of 3 markets, 2 horizons) of a challenger and a champion, and the origins' rows."""
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(1440), 3)
    champion = rng.gamma(2.0, size=(rows.size, 2))
    hour = rng.normal(scale=noise, size=(24, 2))[rows // 60]
    challenger = champion * (1 - gain + hour)
    challenger[-30:], champion[-30:] = np.nan, np.nan
    return challenger, champion, rows


def test_the_margin_tells_a_gain_from_luck_of_some_hours() -> None:
    ratio, margin = ratio_and_margin(*losses(gain=0.01, noise=0.002))
    assert ratio == pytest.approx(0.99, abs=0.001)
    assert ratio + margin < 1
    ratio, margin = ratio_and_margin(*losses(gain=0.01, noise=0.1))
    assert ratio < 1 < ratio + margin, "markets and minutes of an hour have the same luck"
    nothing = np.zeros((5, 2))
    assert ratio_and_margin(nothing, nothing, np.arange(5)) == (1, 0)


@pytest.mark.parametrize("provisional", [True, False])
def test_without_unseen_minutes_only_a_provisional_champion_goes(
    trained: TrainedModel, reverting: Panel, provisional: bool
) -> None:
    champion = rival(trained, **seen_until(59), provisional=provisional)
    verdict = compare_with_champion(trained, champion, reverting)
    assert verdict.promoted is provisional
    assert "only 59 origins" in verdict.reason
