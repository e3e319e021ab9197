"""The features of a market at an origin, and the outcomes on which the model is trained.

All features are independent of the price level: returns are divided by the market's own volatility, volumes and
volatilities are logs of ratios, so that one network serves every market. The scale `sigma` is the volatility of
a minute estimated from the ranges of the last 30 (Parkinson 1980, J. Business 53: mean of ln(high/low)^2 / (4 ln 2)),
combined with a part of the tick, unless that is coarse, as its lower bound. Windows that reach beyond the known history
are cut to it, and their means leave holes out: a minute without a trade is data, one that is not known is not.
Nothing of what comes after an origin has a part in its features, ticks or scales.

A market is led by the markets of its own quote currency: their mean, and their pairs with BTC and ETH. So KRW-XRP
follows KRW-BTC and USDT-XRP follows USDT-BTC; BTC in BTC never moves, and a pair that is not listed counts as unmoved.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from upbit_elt.candle import MINUTE
from upbit_elt.forecast.panel import Bools, Floats, Ints, Panel
from upbit_elt.forecast.schema import HORIZONS
from upbit_elt.forecast.tick_size import Ticks, ticks
from upbit_elt.forecast.windows import Block

LOOKBACK = 1440
"""Minutes before an origin from which the features are computed."""
WARMUP = 30
"""Minutes of known history that a market needs before an origin is used for training."""

LAGS = (1, 2, 3, 5, 10, 15, 30, 60, 240)
WINDOWS = (5, 15, 60, 240, 1440)
MEANS = (3, 10, 30, 120)
LEADERS = ("all", "BTC", "ETH")
"""Mean of the markets with the same quote currency, and the base currencies of the pairs that lead them."""
LEADER_LAGS = (1, 3, 10, 30)
NAMES = (
    *(f"return_{lag}" for lag in LAGS),
    *(f"range_vol_{window}" for window in WINDOWS),
    *(f"close_vol_{window}" for window in WINDOWS),
    *(f"above_mean_{window}" for window in MEANS),
    *(f"ticks_above_mean_{window}" for window in MEANS),
    *("volume_1", "volume_5", "volume_30", "volume_240", "traded_30", "traded_240", "moved_30", "moved_240"),
    *("tick_price", "tick_sigma", "place_in_minute", "place_in_range", "minute_range"),
    *(f"{leader}_{lag}" for leader in LEADERS for lag in LEADER_LAGS),
    *("sin_day", "cos_day", "sin_half_day", "cos_half_day"),
)
SHARED = len(LEADERS) * len(LEADER_LAGS) + 4
"""Number of features, the last ones, that are equal for all markets of an origin: training them takes days of data."""

TINY = 1e-12
TICK_PART = 0.25
COARSE = 0.01
"""Part of the price from which a tick is coarse: prices that jump between ticks are then no measure of volatility."""
CELLS = 500_000
"""Market-minutes that are processed at once, which bounds the memory of long panels."""


@dataclass(frozen=True, slots=True)
class Batch:
    """N samples, one per market and origin.

    `x` (N, features) float32; `last` price; `tick` in its band, `below` and `above` in the bands beside it; `sigma`
    (per square root of a minute), `unit` (N, horizons): the scale of the log return, `rate` (base volume a minute over
    the last hours); `market` and `row` are indices into the panel: the origin is the end of minute `row`.
    """

    x: Floats
    last: Floats
    tick: Floats
    below: Floats
    above: Floats
    sigma: Floats
    unit: Floats
    rate: Floats
    market: Ints
    row: Ints

    def __len__(self) -> int:
        return int(self.row.size)

    def take(self, pick: Bools | Ints | slice) -> Batch:
        """The picked samples."""
        return Batch(*(getattr(self, field.name)[pick] for field in fields(self)))


def batch(panel: Panel, rows: Ints, cells: int = CELLS) -> Batch:
    """Make a sample for every market with a known price, at every origin in `rows` (indices of minutes).

    Markets are processed in groups that have at most `cells` minutes together, or one market.
    """
    tick, leaders, clock = ticks(panel, rows, cells), _leaders(panel, rows), _clock(panel, rows)
    width = max(cells // panel.minutes, 1)
    blocks = [slice(i, min(i + width, len(panel.markets))) for i in range(0, len(panel.markets), width)]
    parts = [_samples(panel, block, rows, tick.take(block), leaders[block], clock) for block in blocks]
    return Batch(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Batch)))


def outcomes(panel: Panel, of: Batch) -> tuple[Floats, Floats]:
    """Outcomes of each sample: log returns and base volumes over each horizon, both (N, horizons).

    They are NaN where the horizon passes the panel's end, touches a hole of the market, or lies in an outage for more
    than a tenth of its minutes.
    """
    steps = np.array(HORIZONS)
    ends = of.row[:, None] + steps
    inside = ends < panel.minutes
    ends = np.where(inside, ends, of.row[:, None])
    dark = np.cumsum(~panel.covered)
    good = inside & (dark[ends] - dark[of.row][:, None] <= steps // 10)
    returns = np.log(panel.close[ends, of.market[:, None]] / of.last[:, None])
    volumes = np.empty_like(returns)
    for market in np.unique(of.market):
        pick, total = of.market == market, np.cumsum(panel.volume[:, market], dtype=np.float64)
        lost = np.cumsum(panel.missing[:, market])
        good[pick] &= lost[ends[pick]] == lost[of.row[pick]][:, None]
        volumes[pick] = total[ends[pick]] - total[of.row[pick]][:, None]
    return np.where(good, returns, np.nan), np.where(good, volumes, np.nan)


def learnable(panel: Panel, of: Batch) -> Bools:
    """Mask (N,) of the samples usable for training: WARMUP known minutes without a hole or an outage precede them."""
    dark = np.concatenate([[0], np.cumsum(~panel.covered)])
    begin = np.maximum(of.row + 1 - WARMUP, 0)
    calm = dark[of.row + 1] - dark[begin] <= WARMUP // 10
    known = of.row + 1 - panel.first[of.market] >= WARMUP
    usable: Bools = calm & known & ~torn(panel, of)
    return usable


def torn(panel: Panel, of: Batch) -> Bools:
    """Mask (N,) of the samples with a hole of their market in the last WARMUP minutes: their scale is a guess."""
    holes = np.zeros(len(of), dtype=np.bool_)
    begin = np.maximum(of.row + 1 - WARMUP, 0)
    for market in np.flatnonzero(panel.missing.any(axis=0)):
        pick = of.market == market
        lost = np.concatenate([[0], np.cumsum(panel.missing[:, market])])
        holes[pick] = lost[of.row[pick] + 1] > lost[begin[pick]]
    return holes


def _leaders(panel: Panel, rows: Ints) -> Floats:
    """Scaled returns of each market's leaders, shape (markets, rows, leaders * lags); zeros where one is not listed.

    The mean of the markets is that of those that traded in the minute, so that it does not depend on who is listed.
    """
    by_quote: dict[str, list[int]] = {}
    for number, market in enumerate(panel.markets):
        by_quote.setdefault(market.partition("-")[0], []).append(number)
    found = np.zeros((len(panel.markets), rows.size, len(LEADERS) * len(LEADER_LAGS)), dtype=np.float32)
    for quote, markets in by_quote.items():
        mean, count = np.zeros(panel.minutes), np.zeros(panel.minutes)
        named = {f"{quote}-{base}": np.zeros(panel.minutes) for base in LEADERS[1:]}
        for number in markets:
            steps = np.nan_to_num(np.diff(np.log(panel.close[:, number]), prepend=np.nan))
            mean += np.where(panel.traded[:, number], steps.clip(-0.02, 0.02), 0.0)
            count += panel.traded[:, number]
            if panel.markets[number] in named:
                named[panel.markets[number]] = steps
        leaders = [mean / np.maximum(count, 1), *named.values()]
        found[markets] = np.concatenate([_scaled(steps, rows) for steps in leaders], axis=1)
    return found


def _scaled(steps: Floats, rows: Ints) -> Floats:
    """Returns over LEADER_LAGS divided by the volatility of the last hour, shape (rows, lags)."""
    path = np.concatenate([[0.0], np.cumsum(steps)])
    square = np.concatenate([[0.0], np.cumsum(steps**2)])
    hour = np.maximum(rows + 1 - 60, 0)
    sigma = np.sqrt(np.maximum(square[rows + 1] - square[hour], 0.0) / (rows + 1 - hour))
    moves = [path[rows + 1] - path[np.maximum(rows + 1 - lag, 0)] for lag in LEADER_LAGS]
    scaled = [move / (sigma * lag**0.5 + TINY) for move, lag in zip(moves, LEADER_LAGS, strict=True)]
    return np.stack(scaled, axis=1).clip(-5, 5)


def _clock(panel: Panel, rows: Ints) -> Floats:
    """Sine and cosine of the origin's UTC time of day with periods of a day and half a day, shape (rows, 4)."""
    begin = (panel.start.hour * 60 + panel.start.minute) * MINUTE.seconds // 60
    angle = 2 * np.pi * (begin + rows + 1) / 1440
    return np.stack([f(k * angle) for k in (1, 2) for f in (np.sin, np.cos)], axis=1)


def _samples(panel: Panel, markets: slice, rows: Ints, tick: Ticks, leaders: Floats, clock: Floats) -> Batch:
    block = Block(panel, markets, rows)
    columns, sigma, rate = _columns(block, tick.here)
    shape = sigma.shape
    unit = _unit(block, sigma, tick.here / panel.close.T[markets][:, rows])
    x = np.empty((*shape, len(NAMES)), dtype=np.float32)
    for place, column in enumerate(columns):
        x[..., place] = column
    x[..., -SHARED : -clock.shape[1]] = leaders
    x[..., -clock.shape[1] :] = clock
    known = block.first <= rows
    index = np.arange(markets.start, markets.stop)[:, None]
    plain = (panel.close.T[markets][:, rows], tick.here, tick.below, tick.above, sigma)
    last, here, below, above, sigma = (np.broadcast_to(field, shape)[known] for field in plain)
    rate, number, row = (np.broadcast_to(field, shape)[known] for field in (rate, index, rows))
    return Batch(x[known], last, here, below, above, sigma, unit[known], rate, number, row)


def _unit(block: Block, sigma: Floats, coarse: Floats) -> Floats:
    """Scale of the log return over each horizon, shape (markets, rows, horizons): sigma * sqrt(horizon).

    Where the tick is coarse, it moves over to the root mean square of such returns in the last day (from one to two
    times COARSE of the price): a price that jumps to and fro gets no further in an hour than in a minute.
    """
    root = np.sqrt(HORIZONS)
    unit: Floats = sigma[..., None] * root
    share = (np.nan_to_num(coarse) / COARSE - 1).clip(0, 1)[..., None]
    for market in np.flatnonzero(share.any(axis=(1, 2))):
        own = np.maximum(block.past_moves(int(market), LOOKBACK - max(HORIZONS)), TICK_PART * COARSE * root)
        unit[market] = np.exp((1 - share[market]) * np.log(unit[market]) + share[market] * np.log(own))
    return unit


def _columns(block: Block, tick: Floats) -> tuple[list[Floats], Floats, Floats]:
    """A market's own features in the order of NAMES, sigma and rate, each of shape (markets, rows)."""
    coarse = tick / np.exp(block.now(block.log))
    widths = block.roots(block.span / (4 * np.log(2)) ** 0.5, 30, *WINDOWS)
    sigma = np.hypot(widths[0], TICK_PART * np.minimum(coarse, COARSE))
    vols = [*widths[1:], *block.roots(block.steps, *WINDOWS)]
    floor = 0.05 * sigma
    columns = [(block.change(lag) / (sigma * lag**0.5)).clip(-6, 6) for lag in LAGS]
    columns += [np.log(np.maximum(vol, floor) / sigma).clip(-3, 3) for vol in vols]
    columns += _above_means(block, sigma, coarse)
    volumes, rate = _volumes(block)
    columns += volumes
    columns += [np.log(coarse).clip(-12, -4), np.log(coarse / sigma).clip(-6, 2), *_places(block)]
    columns.append((block.now(block.span) / sigma).clip(0, 6))
    return columns, sigma, rate


def _above_means(block: Block, sigma: Floats, coarse: Floats) -> list[Floats]:
    """Distance of the price above its means, in units of sigma and then in ticks."""
    begin = np.minimum(block.first, block.log.shape[1] - 1)
    base = np.nan_to_num(np.take_along_axis(block.log, begin, axis=1))  # near all prices: sums keep their digits
    gaps = [block.now(block.log) - base - mean for mean in block.means(block.log - base, *MEANS)]
    scaled = [(gap / (sigma * window**0.5)).clip(-4, 4) for gap, window in zip(gaps, MEANS, strict=True)]
    return scaled + [(gap / coarse).clip(-2, 2) for gap in gaps]


def _places(block: Block) -> list[Floats]:
    """Position of the price between lowest (-1) and highest (1) of the last minute, and of the last 30."""
    here, places = block.now(block.log), []
    for window in (1, 30):
        high, low = block.extremes(window)
        places.append(((2 * here - high - low) / (high - low + TINY)).clip(-1, 1))
    return places


def _volumes(block: Block) -> tuple[list[Floats], Floats]:
    """Log ratios of volume, shares of minutes with trades and with moves, and the base volume per minute."""
    one, five, half, hours, day = block.means(block.volume, 1, 5, 30, 240, 1440)
    rate = 0.5 * half + 0.3 * hours + 0.2 * day
    ratios = [np.log((v + 0.01 * rate + TINY) / (rate + TINY)) for v in (one, five, half, hours)]
    shares = [*block.means(block.traded, 30, 240), *block.means(block.steps != 0, 30, 240)]
    return ratios + shares, rate
