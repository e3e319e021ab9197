from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import torch

from tests.unit.forecast.market import END
from upbit_elt.candle import wire
from upbit_elt.forecast.artifacts import FIRST, Champion
from upbit_elt.forecast.model import QuantileNet
from upbit_elt.forecast.panel import Panel
from upbit_elt.forecast.promote import compare_with_champion
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
    assert "1.0000 to champion old" in verdict.reason


def test_a_challenger_worse_than_a_baseline_does_not(trained: TrainedModel, reverting: Panel) -> None:
    spoilt = rival(trained).model
    with torch.no_grad():
        spoilt.base.mul_(3)
    verdict = compare_with_champion(replace(trained, net=spoilt), rival(trained, **seen_until(70)), reverting)
    assert not verdict.promoted


@pytest.mark.parametrize("provisional", [True, False])
def test_without_unseen_minutes_only_a_provisional_champion_goes(
    trained: TrainedModel, reverting: Panel, provisional: bool
) -> None:
    champion = rival(trained, **seen_until(59), provisional=provisional)
    verdict = compare_with_champion(trained, champion, reverting)
    assert verdict.promoted is provisional
    assert "only 59 origins" in verdict.reason
