"""The tick, the step of a market's prices, estimated as of each row from the prices of the day before it.

Upbit's tables of ticks differ by quote currency and price band, have exceptions and change over the years
(https://docs.upbit.com/docs/krw-market-info), so a fixed table would become wrong. A band here lies between two
neighbouring numbers of 1, 2, 5, 10, 20, ...: no table of Upbit's changes the tick inside of one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from upbit_elt.forecast.panel import Bools, Floats, Ints, Panel

STEPS = np.sort(np.concatenate([10.0 ** np.arange(-8, 6), 5 * 10.0 ** np.arange(-8, 5)]))
"""Ticks that are considered; each divides the next."""
EDGES = np.sort(np.concatenate([part * 10.0 ** np.arange(-9, 10) for part in (1, 2, 5)]))
"""Lower ends of the bands."""
WINDOW = 1440  # minutes before a row whose prices count; features.LOOKBACK, so that serving sees all of them
WIDEST = 0.01  # largest tick as a part of the band's lower end
CAUTIOUS = 0.002  # with fewer than four different prices, which may look coarse by chance, this part instead
SHARE = 0.98  # part of the prices that must be multiples; the rest may precede a redenomination or another table
DEPTH = 10  # ticks that are tried, from the widest downwards
SPARE_DIGITS = 3  # decimals kept beyond those of the tick
NEAR = 1e-9  # relative; a price this little below an edge, by rounding, lies on it

_COARSEST = np.maximum(np.searchsorted(STEPS, WIDEST * EDGES * (1 + NEAR), side="right") - 1, 0)
_CAUTIOUS = np.maximum(np.searchsorted(STEPS, CAUTIOUS * EDGES * (1 + NEAR), side="right") - 1, 0)
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Ticks:
    """Ticks in the quote currency, arrays of any one shape: in the price's own band, in the one below, and above."""

    here: Floats
    below: Floats
    above: Floats

    def take(self, pick: Bools | Ints | slice | tuple[slice | None, ...]) -> Ticks:
        """The picked ticks."""
        return Ticks(*(getattr(self, field.name)[pick] for field in fields(self)))


def ticks(panel: Panel, rows: Ints, cells: int) -> Ticks:
    """Ticks of each market as of the end of each minute in `rows`, shape (markets, rows); NaN before its first price.

    Only prices traded in the WINDOW minutes up to the row count. The tick of a band is the market's own in it; while
    the market has had too few prices there, it is the commonest of the markets with the same quote currency that are in
    the band now; if there is none, that of the band beside it. It always divides the last price, unless no tick does.
    At most `cells` market-minutes are processed at once.
    """
    width = max(cells // panel.minutes, 1)
    last = panel.close.T[:, rows]
    band = band_of(last)
    blocks = [slice(i, min(i + width, len(last))) for i in range(0, len(last), width)]
    found = [_Seen(panel, block).ticks(band[block], rows) for block in blocks]
    own, most = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    here, below, above = np.minimum(_borrowed(own, band, _quotes(panel)), most)
    beside = np.where((below >= 0) & (above >= 0), np.minimum(below, above), np.maximum(below, above))
    beside = np.where(beside >= 0, beside, _CAUTIOUS[band])
    here = np.where(here >= 0, here, np.minimum(beside, most[0]))
    here = np.minimum(here, _grain(last, band))
    sides = [np.where(side >= 0, side, here) for side in (below, above)]
    return Ticks(*(np.where(np.isnan(last), np.nan, STEPS[index]) for index in (here, *sides)))


def band_of(price: Floats) -> Ints:
    """Index into EDGES of each price's band; 0 for NaN."""
    found = np.searchsorted(EDGES, np.nan_to_num(price) * (1 + NEAR), side="right") - 1
    return np.clip(found, 0, EDGES.size - 1).astype(np.int64)


def round_to_tick(price: Floats, last: Floats, tick: Ticks) -> Floats:
    """Round prices to prices that can exist: in the last price's band to whole ticks from it, beyond to that band's.

    A rounded price is at least one tick, and has no digits that only floats have. The order of prices stays.
    """
    band = band_of(last)
    low, high = EDGES[band], EDGES[np.minimum(band + 1, EDGES.size - 1)]
    inside = _clean(last + np.rint((price - last) / tick.here) * tick.here, tick.here, SPARE_DIGITS).clip(low, high)
    under = _clean(np.maximum(np.rint(price / tick.below), 1) * tick.below, tick.below)
    over = _clean(np.rint(price / tick.above) * tick.above, tick.above)
    outside = np.where(price < low, np.minimum(under, low), np.maximum(over, high))
    rounded: Floats = np.where((low <= price) & (price < high), inside, outside)
    return np.maximum(rounded, tick.below)


def _clean(price: Floats, tick: Floats, spare: int = 0) -> Floats:
    """Remove digits that only floats have. A tick is 1 or 5 times a power of ten, and a price may lie between two."""
    scale = 10.0 ** (spare + np.maximum(0, np.ceil(-np.log10(tick) - NEAR)))
    cleaned: Floats = np.rint(price * scale) / scale
    return cleaned


class _Seen:
    """Prices traded by a block of markets, sorted by market, band and minute, with running counts over them."""

    def __init__(self, panel: Panel, block: slice) -> None:
        self._minutes = panel.minutes
        market, minute = np.nonzero(panel.traded.T[block])
        price = panel.close.T[block][market, minute]
        band = band_of(price)
        group = market * EDGES.size + band
        order = np.argsort(group, kind="stable")
        group, price = group[order], price[order]
        self._key = group * self._minutes + minute[order]
        tried = np.maximum(_COARSEST[band[order]] - np.arange(DEPTH)[:, None], 0)
        self._misfits = np.zeros((DEPTH, price.size + 1), dtype=np.int32)
        for depth, steps in enumerate(tried):
            np.cumsum(~_fits(price, STEPS[steps]), out=self._misfits[depth, 1:])
        self._fourth = _fourth(price)

    def ticks(self, band: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Index of the tick by the market's own prices in its band, the one below and the one above, as of each row.

        Both results have the shape (3, markets, rows): the first is _UNKNOWN with fewer than four different prices; the
        second is the coarsest tick that they leave possible, however few there are.
        """
        bands = np.stack([band, np.maximum(band - 1, 0), np.minimum(band + 1, EDGES.size - 1)])
        group = np.arange(band.shape[0])[:, None] * EDGES.size + bands
        begin = group * self._minutes + np.maximum(rows + 1 - WINDOW, 0)
        low = np.searchsorted(self._key, begin)
        high = np.searchsorted(self._key, group * self._minutes + rows, side="right")
        allowed = (1 - SHARE) * (high - low)
        depth = np.full(band.shape, DEPTH - 1) + np.zeros_like(bands)
        for tried in reversed(range(DEPTH)):
            depth[self._misfits[tried, high] - self._misfits[tried, low] <= allowed] = tried
        index = np.maximum(_COARSEST[bands] - depth, 0)
        newest = np.maximum(high - 1, 0)
        many = (high > low) & (self._fourth[newest] >= low) if self._key.size else np.zeros(bands.shape, np.bool_)
        return np.where(many, index, _UNKNOWN), index


def _fits(price: Floats, step: Floats) -> Bools:
    ratio = price / step
    fits: Bools = np.abs(ratio - np.rint(ratio)) < 1e-4
    return fits


def _grain(price: Floats, band: Ints) -> Ints:
    """Index of the coarsest tick that divides each price; that of the finest that is tried when none does."""
    index: Ints = np.maximum(_COARSEST[band] - DEPTH + 1, 0)
    for depth in reversed(range(DEPTH)):
        tried = np.maximum(_COARSEST[band] - depth, 0)
        index = np.where(_fits(np.nan_to_num(price), STEPS[tried]), tried, index)
    return index


def _fourth(price: Floats) -> Ints:
    """For each of a series of prices: where the fourth of the newest different prices up to it came last; -1 if fewer.

    So there are four different prices from a position on exactly when this one is not before it.
    """
    starts = np.concatenate([[0], np.flatnonzero(np.diff(price)) + 1]) if price.size else np.zeros(0, np.int64)
    ends = np.append(starts[1:], price.size)[: starts.size] - 1
    run = price[starts]
    number = np.arange(run.size)
    fresh = np.concatenate([np.zeros(min(2, run.size), np.bool_), run[2:] != run[:-2]])
    third = np.maximum.accumulate(np.where(fresh, number - 2, -1)) if run.size else number
    before = np.concatenate([[-1], third[:-1]])[: run.size]
    fresh &= (before >= 0) & (run[before] != run)
    fourth = np.maximum.accumulate(np.where(fresh, before, -1)) if run.size else number
    position = np.where(fourth >= 0, ends[fourth], -1)
    newest: Ints = np.repeat(position, ends - starts + 1)
    return newest


def _borrowed(own: Ints, band: Ints, quote: Ints) -> Ints:
    """Fill what is _UNKNOWN in `own` (3, markets, rows): with the commonest tick, in that row, of the markets in that
    band now that have the same quote currency. It stays unknown where there is none; of equally common ones the widest
    counts.
    """
    rows = band.shape[1]
    place = quote[:, None] * rows + np.arange(rows)
    here = place * EDGES.size + band
    known = own[0] >= 0
    if not known.any() or (own >= 0).all():
        return own
    pairs, counts = np.unique(here[known] * STEPS.size + own[0][known], return_counts=True)
    keys, index = np.divmod(pairs, STEPS.size)
    order = np.lexsort((index, counts, keys))
    keys, index = keys[order], index[order]
    final = np.append(keys[1:] != keys[:-1], True)
    keys, index = keys[final], index[final]
    bands = np.stack([band, np.maximum(band - 1, 0), np.minimum(band + 1, EDGES.size - 1)])
    wanted = place * EDGES.size + bands
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(own >= 0, own, np.where(keys[at] == wanted, index[at], _UNKNOWN))


def _quotes(panel: Panel) -> Ints:
    """A number for the quote currency of each market, shape (markets,)."""
    quotes = [market.partition("-")[0] for market in panel.markets]
    return np.unique(np.array(quotes, dtype=str), return_inverse=True)[1].astype(np.int64)
