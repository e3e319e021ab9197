"""Compare every candle in Hive with the exchange's, value by value."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed

from upbit_elt.candle import FIELDS, Candle, days_between, split_by_day, wire
from upbit_elt.collect.fetch import fetch
from upbit_elt.collect.plan import FetchRequest
from upbit_elt.errors import ServerTrouble
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.holes import HoleReason
from upbit_elt.intervals import union
from upbit_elt.lake.coverage import by_market
from upbit_elt.lake.read import read_sources
from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.warehouse.hive import Hive
from upbit_elt.warehouse.tables import partition

COLUMNS = ", ".join(f"`{name}`" for name in FIELDS)
MAX_EXAMPLES = 20
SWITCH = 10.0  # a new snapshot of the lake is registered in Hive within so many seconds
TRIES = 5  # a request that this machine had no time for is sent so often
FEW = 50  # so many markets are named in the query; for more, the whole day is read


@dataclass(frozen=True)
class Comparison:
    """How many candles of the exchange were compared, and how Hive differs from them.

    `lost` keys are missing in Hive, `doubled` are there more than once, `altered` have other values, and `invented` are
    unknown to the exchange. `examples` name the first differences.
    """

    compared: int
    lost: int
    doubled: int
    altered: int
    invented: int
    examples: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether Hive and the exchange have the same candles."""
        return not (self.lost or self.doubled or self.altered or self.invented)


def accounted(lake: Lake, start: datetime, end: datetime) -> list[FetchRequest]:
    """The spans within [start, end) (UTC) that the lake accounts for, by candles or as empty, as requests."""
    coverages = (found for day in days_between(start, end) for found in read_sources(lake, day, start, end)[1])
    spans = by_market(span for coverage in coverages for span in coverage.clipped(start, end).known())
    return [FetchRequest(market, *piece) for market in sorted(spans) for piece in union(spans[market])]


def compare(
    hive: Hive,
    client: UpbitClient,
    settings: Settings,
    spans: Iterable[FetchRequest],
    tick: Callable[[], None] = lambda: None,
    patience: float = SWITCH,
) -> Comparison:
    """Compare the minutes of `spans` (UTC). `tick` is called after each market.

    The lake may be a snapshot ahead of Hive for some seconds. So while they differ, Hive is read again for `patience`
    seconds; a real difference stays.

    Raises:
        ServerTrouble: a market's request failed, so that it cannot be compared.
    """
    by_day: dict[str, list[FetchRequest]] = defaultdict(list)
    for request in spans:
        for day, part in split_by_day(request):
            by_day[day].append(FetchRequest(request.market, *part))
    found = [_compare_day(hive, client, settings, day, by_day[day], tick, patience) for day in sorted(by_day)]
    return Comparison(
        compared=sum(part.compared for part in found),
        lost=sum(part.lost for part in found),
        doubled=sum(part.doubled for part in found),
        altered=sum(part.altered for part in found),
        invented=sum(part.invented for part in found),
        examples=tuple(text for part in found for text in part.examples),
    )


def exchange_candles(
    client: UpbitClient, requests: list[FetchRequest], workers: int, tick: Callable[[], None]
) -> dict[tuple[str, str], Candle]:
    """The exchange's candles of the spans, by market and start (UTC); what a busy machine had no time for comes again.

    Raises:
        ServerTrouble: a market's request failed.
    """
    found: dict[tuple[str, str], Candle] = {}
    for tries_left in reversed(range(TRIES)):
        late: list[FetchRequest] = []
        for result in fetch(client, requests, workers=workers, tick=tick):
            if tries_left and result.failure and result.failure.reason is HoleReason.OUT_OF_TIME:
                late.append(result.request)
            elif result.trouble:
                raise ServerTrouble(f"{result.request.market} cannot be compared: {result.trouble}")
            else:
                found |= {(c.market, c.candle_date_time_utc): c for c in result.candles}
        requests = late
    return found


def _compare_day(
    hive: Hive,
    client: UpbitClient,
    settings: Settings,
    day: str,
    requests: list[FetchRequest],
    tick: Callable[[], None],
    patience: float,
) -> Comparison:
    truth = exchange_candles(client, requests, settings.workers, tick)
    lasting = Retrying(
        retry=retry_if_result(lambda found: not found.equal),
        wait=wait_fixed(2),
        stop=stop_after_delay(patience),
        retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
    )
    found: Comparison = lasting(lambda: _differences(_in_hive(hive, settings, day, requests), truth))
    return found


def _in_hive(hive: Hive, settings: Settings, day: str, requests: list[FetchRequest]) -> list[Candle]:
    bounds: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for request in requests:
        bounds[request.market].append((wire(request.start), wire(request.end)))
    parameters: dict[str, object] = {"dt": partition(day)}
    only = ""
    if len(bounds) <= FEW:
        parameters["markets"] = tuple(bounds)
        only = "AND market IN %(markets)s"
    rows = hive.query(
        f"SELECT {COLUMNS} FROM {settings.database}.candle WHERE dt = %(dt)s {only}",  # noqa: S608 - our own names
        parameters,
    )
    candles = [Candle(*row) for row in rows]
    return [c for c in candles if any(low <= c.candle_date_time_utc < high for low, high in bounds.get(c.market, []))]


def _differences(ours: list[Candle], truth: dict[tuple[str, str], Candle]) -> Comparison:
    counts = Counter((c.market, c.candle_date_time_utc) for c in ours)
    lost = sorted(truth.keys() - counts.keys())
    invented = sorted(counts.keys() - truth.keys())
    doubled = sorted(key for key, count in counts.items() if count > 1)
    altered = sorted(
        {(c.market, c.candle_date_time_utc) for c in ours if truth.get((c.market, c.candle_date_time_utc), c) != c}
    )
    kinds = {"lost": lost, "doubled": doubled, "altered": altered, "invented": invented}
    examples = [f"{kind}: {market} {moment}" for kind, keys in kinds.items() for market, moment in keys[:MAX_EXAMPLES]]
    return Comparison(len(truth), len(lost), len(doubled), len(altered), len(invented), tuple(examples))
