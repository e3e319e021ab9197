from __future__ import annotations

import numpy as np
import pytest
import torch

from upbit_elt.forecast.model import LEAST_GAP, QuantileNet, shrink
from upbit_elt.forecast.schema import HORIZONS, MEDIAN, QUANTILES
from upbit_elt.forecast.scoring import crps

FEATURES = 12


@pytest.fixture
def net() -> QuantileNet:
    torch.manual_seed(3)
    net = QuantileNet(FEATURES).eval()
    net.base.copy_(torch.linspace(-2, 2, len(QUANTILES)).expand(len(HORIZONS), -1))
    return net


def shaken(net: QuantileNet, by: float) -> QuantileNet:
    torch.nn.init.normal_(net.head.weight, std=by)
    torch.nn.init.normal_(net.head.bias, std=by)
    return net


def test_untrained_it_gives_the_base_quantiles(net: QuantileNet) -> None:
    z, _, _ = net(torch.randn(5, FEATURES))
    torch.testing.assert_close(z, net.base.expand(5, -1, -1))


@pytest.mark.parametrize("by", [0.1, 1.0, 30.0])
def test_quantiles_never_cross_whatever_the_weights(net: QuantileNet, by: float) -> None:
    z, _, _ = shaken(net, by)(torch.randn(200, FEATURES) * 10)
    assert (torch.diff(z, dim=-1) > 0).all()


def test_neighbouring_base_quantiles_that_are_equal_can_still_part(net: QuantileNet) -> None:
    net.base.zero_()
    z, _, _ = net(torch.zeros(1, FEATURES))
    torch.testing.assert_close(torch.diff(z), torch.full((1, len(HORIZONS), len(QUANTILES) - 1), LEAST_GAP))


@pytest.mark.parametrize(("blend", "shift"), [(0.0, 0.0), (0.5, 0.0), (1.0, 0.0), (1.0, 0.5), (1.0, 1.0)])
def test_shrinking_keeps_the_order_and_moves_the_median_by_the_given_part(
    net: QuantileNet, blend: float, shift: float
) -> None:
    z, _, _ = shaken(net, 1.0)(torch.randn(100, FEATURES))
    share = [torch.full((len(HORIZONS),), value) for value in (blend, shift)]
    served = shrink(z, net.base, *share)
    assert (torch.diff(served, dim=-1) >= 0).all()
    torch.testing.assert_close(served[..., MEDIAN], z[..., MEDIAN] * blend * shift)


def test_crps_of_the_true_quantiles_is_the_lowest() -> None:
    outcome = np.random.default_rng(0).normal(size=20_000)
    true = np.quantile(outcome, QUANTILES)
    losses = {k: crps(np.broadcast_to(true * k, (outcome.size, len(QUANTILES))), outcome).mean() for k in (0.5, 1, 2)}
    assert min(losses, key=losses.__getitem__) == 1


def test_crps_of_a_point_is_its_absolute_error() -> None:
    loss = crps(np.full((2, len(QUANTILES)), 3.0), np.array([1.0, 5.0]))
    np.testing.assert_allclose(loss, [2.0, 2.0])
