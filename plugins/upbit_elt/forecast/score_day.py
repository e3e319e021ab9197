"""Scores the stored forecasts of a KST day against what came, and the baselines on the same forecasts.

Every forecast that says when it was issued is counted once: *late* (issued at or after its target), a *hole* (the price
at its origin or target is not known), scored, or not yet due. An origin that was never made is *missed*.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from upbit_elt.candle import MINUTE, day_start
from upbit_elt.forecast.outcomes import DAY_MINUTES, Bools, Ints, Outcomes, minutes_of
from upbit_elt.forecast.schema import HORIZONS, QUANTILE_COLUMNS, QUANTILES
from upbit_elt.forecast.scoring import Floats, absolute_error, coverage_90, crps, pinball
from upbit_elt.lake.table_spec import TableSpec

SERVED, NAIVE, UNCONDITIONAL = "served", "naive", "unconditional"
EXPERTS = (SERVED, NAIVE, UNCONDITIONAL)
"""Whose scores are kept: the forecasts as served; the last price; the quantiles of the market's own returns in the
days before."""
CADENCE = 2  # minutes from one origin to the next, as the DAG min_candle is scheduled
LEAST_RETURNS = 60  # with fewer known ones a market has no quantiles of its own
BASIS_POINT = 1e-4
DECIMALS = 6

LOSSES = ("crps", "mae", "coverage_90", *(f"pinball_{name}" for name in QUANTILE_COLUMNS))
SCORE_SCHEMA = pa.schema(
    [
        ("market", pa.string()),
        ("horizon", pa.int32()),
        ("quantity", pa.string()),
        ("expert", pa.string()),
        ("count", pa.int32()),
        ("late", pa.int32()),
        ("missed", pa.int32()),
        ("holes", pa.int32()),
        *((name, pa.float64()) for name in LOSSES),
    ]
)
"""One row per market, horizon (minutes), quantity (`price`) and expert, of a KST day of origins. Means over `count`
scored forecasts, null where it is 0: losses in basis points of the log price, `coverage_90` as a share. `late`,
`missed` and `holes` count forecasts that were not scored; they are the same for every expert."""
SCORE = TableSpec("score", SCORE_SCHEMA, ["market", "horizon", "quantity", "expert"], later_wins=True)

NEEDED = ("market", "origin", "horizon", "target", *QUANTILE_COLUMNS, "issued_utc")
"""The columns of a forecast that a ScoredDay reads."""
_NONE = np.zeros(DAY_MINUTES // CADENCE, np.bool_)


class _Rows(NamedTuple):
    """Dated forecasts of a table as arrays: codes into `markets`, horizons, minutes since the epoch, log quantiles."""

    markets: list[str]
    code: Ints
    horizon: Ints
    origin: Ints
    target: Ints
    late: Bools
    quantiles: Floats


class ScoredDay:
    """Counts and sums over the forecasts of a KST day, one table at a time.

    `until` (UTC) is the end of the live runs' coverage: what is due later is left for another run. `begun` says whether
    forecasts of days before were scored, so that the day's first origins could have been made too.
    """

    def __init__(self, outcomes: Outcomes, day: str, until: datetime, *, begun: bool) -> None:
        self._outcomes, self._day, self._until, self._begun = outcomes, day, until, begun
        self._row = {market: row for row, market in enumerate(outcomes.markets)}
        self._counts: dict[tuple[str, int], Ints] = defaultdict(lambda: np.zeros(3, np.int64))  # count, late, holes
        self._sums: dict[tuple[str, int, str], Floats] = defaultdict(lambda: np.zeros(len(LOSSES)))
        self._made: dict[str, Bools] = defaultdict(lambda: np.zeros(DAY_MINUTES // CADENCE, np.bool_))
        self._own: dict[tuple[str, int], Floats] = {}

    @property
    def dated(self) -> bool:
        """Whether any forecast said when it was issued."""
        return bool(self._made)

    def add(self, table: pa.Table) -> None:
        """Add forecasts (with the columns NEEDED) of the day's origins; those of unknown time of issue are left out."""
        found = _dated(table)
        if not len(found.code):
            return
        for market, made in zip(found.markets, self._slots(found), strict=True):
            self._made[market] |= made
        rows = np.array([self._row.get(market, -1) for market in found.markets])[found.code]
        last, came = (self._outcomes.at(rows, minutes) for minutes in (found.origin, found.target))
        due = (found.target <= int(self._until.timestamp()) // 60) & ~found.late
        scored = due & ~np.isnan(last) & ~np.isnan(came)
        groups = _groups(found)
        flags = np.stack([scored, found.late, due & ~scored], axis=1)
        for key, pick in groups.items():
            self._counts[key] += flags[pick].sum(axis=0)
        own = np.concatenate([last[pick, None] + self._own_returns(*key) for key, pick in groups.items()])
        own = own[np.argsort(np.concatenate(list(groups.values())))]
        for expert, quantiles in zip(EXPERTS, (found.quantiles, last[:, None], own), strict=True):
            losses = _losses(np.broadcast_to(quantiles, own.shape), came)
            for key, pick in groups.items():
                values = losses[pick[scored[pick]]]
                if len(values) and not np.isnan(values).any():
                    self._sums[*key, expert] += values.sum(axis=0)

    def _slots(self, found: _Rows) -> Bools:
        """Which slots of CADENCE minutes each market has an origin in, (markets, slots)."""
        slot = (found.origin - int(day_start(self._day).timestamp()) // 60) // CADENCE
        inside = (slot >= 0) & (slot < DAY_MINUTES // CADENCE)
        made = np.zeros((len(found.markets), DAY_MINUTES // CADENCE), np.bool_)
        made[found.code[inside], slot[inside]] = True
        return made

    def _own_returns(self, market: str, horizon: int) -> Floats:
        """Quantiles of the market's log returns over a horizon in the days before; NaN where too few are known."""
        if (market, horizon) not in self._own:
            self._own[market, horizon] = np.full(len(QUANTILES), np.nan)
            if market in self._row:
                before = self._outcomes.log_price[self._row[market], : self._outcomes.index(day_start(self._day))]
                returns = before[horizon:] - before[:-horizon]
                returns = returns[~np.isnan(returns)]
                if len(returns) >= LEAST_RETURNS:
                    self._own[market, horizon] = np.quantile(returns, QUANTILES)
        return self._own[market, horizon]

    def table(self, markets: Collection[str]) -> pa.Table:
        """The scores (SCORE_SCHEMA), sorted; of `markets`, which live runs collect, also those never forecast."""
        missed = self._missed(markets)
        horizons = sorted({horizon for _, horizon in self._counts} or HORIZONS)
        listed = sorted({*self._made, *(market for market, count in missed.items() if count)})
        rows = [
            row
            for market in listed
            for horizon in horizons
            for expert in EXPERTS
            if (row := self._score(market, horizon, expert, missed.get(market, 0)))
        ]
        return pa.Table.from_pylist(rows, schema=SCORE_SCHEMA).sort_by([(name, "ascending") for name in SCORE.key])

    def _score(self, market: str, horizon: int, expert: str, missed: int) -> dict[str, Any] | None:
        """A row of the scores; None for a baseline without a score."""
        count, late, holes = (int(number) for number in self._counts.get((market, horizon), (0, 0, 0)))
        sums = self._sums.get((market, horizon, expert))
        if sums is None and expert != SERVED:
            return None
        # Rounded, since the order of a sum, which a compaction changes, shows in its last bits.
        means = [None] * len(LOSSES) if sums is None else np.round(sums / count, DECIMALS).tolist()
        values = (market, horizon, "price", expert, count, late, missed, holes, *means)
        return dict(zip(SCORE_SCHEMA.names, values, strict=True))

    def _missed(self, markets: Collection[str]) -> dict[str, int]:
        """Slots of the day in which each market was collected and no origin was made, though it could have been."""
        if not self.dated and not self._begun:
            return {}
        first = 0 if self._begun else min(int(made.argmax()) for made in self._made.values())
        # the forecast of the newest minutes may be under way
        last = (self._until - CADENCE * MINUTE - day_start(self._day)) // (CADENCE * MINUTE)
        start = self._outcomes.index(day_start(self._day))
        collected = self._outcomes.collected[:, start : start + DAY_MINUTES : CADENCE]
        return {
            market: int((collected[self._row[market]] & ~self._made.get(market, _NONE))[first : max(last, first)].sum())
            for market in sorted({*markets} & {*self._row})
        }


def _dated(table: pa.Table) -> _Rows:
    table = table.filter(pc.is_valid(table.column("issued_utc")))
    names = table.column("market").combine_chunks().dictionary_encode()
    late = pc.greater_equal(table.column("issued_utc"), table.column("target"))  # wire strings sort by time
    quantiles = np.stack([table.column(name).to_numpy() for name in QUANTILE_COLUMNS], axis=1)
    return _Rows(
        names.dictionary.to_pylist(),
        names.indices.to_numpy().astype(np.int64),
        table.column("horizon").to_numpy().astype(np.int64),
        minutes_of(table.column("origin")),
        minutes_of(table.column("target")),
        late.to_numpy(),
        np.log(quantiles),
    )


def _groups(found: _Rows) -> dict[tuple[str, int], Ints]:
    """The rows of each market and horizon."""
    key = found.code * 100_000 + found.horizon
    keys, place = np.unique(key, return_inverse=True)
    order = np.argsort(place, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(place))[:-1])
    return {
        (found.markets[int(key) // 100_000], int(key) % 100_000): part for key, part in zip(keys, parts, strict=True)
    }


def _losses(quantiles: Floats, came: Floats) -> Floats:
    """The losses of each forecast in the order of LOSSES, (rows, losses)."""
    levels = pinball(quantiles, came)
    points = np.column_stack([crps(quantiles, came), absolute_error(quantiles, came), levels]) / BASIS_POINT
    return np.insert(points, LOSSES.index("coverage_90"), coverage_90(quantiles, came), axis=1)
