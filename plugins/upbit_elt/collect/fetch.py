"""Ask the exchange for many spans at once; a market that fails stalls no other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

from upbit_elt.candle import Candle
from upbit_elt.collect.plan import Ask
from upbit_elt.errors import Banned, ExchangeError, UnknownMarket
from upbit_elt.exchange.client import UpbitClient
from upbit_elt.exchange.models import MinuteUnit
from upbit_elt.exchange.pager import minutes_between
from upbit_elt.lake.coverage import Span


class Answer(NamedTuple):
    """What came back for a span: its candles and those of the minutes before it, or why there is none.

    `final`: the exchange does not know the market (any more), so asking again would fail again.
    """

    ask: Ask
    candles: tuple[Candle, ...] = ()
    before: tuple[Candle, ...] = ()
    failure: str = ""
    final: bool = False

    def span(self) -> Span:
        """How the asked span is accounted for."""
        market, start, end, _ = self.ask
        return Span(market, start, end, "hole", self.failure) if self.failure else Span(market, start, end, "asked")


def fetch(
    client: UpbitClient, asks: Iterable[Ask], *, workers: int, tick: Callable[[], None], unit: MinuteUnit = 1
) -> Iterator[Answer]:
    """Answers (candles of `unit` minutes) in the order they arrive. `tick` is called after each (to prolong a lease).

    A market's failure is an Answer with its reason. A ban ends the rest at once: each of them then fails without
    a request.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        for future in as_completed([pool.submit(_ask, client, ask, unit) for ask in asks]):
            yield future.result()
            tick()
    finally:
        # Whoever stops listening (a lost lease, a timeout) sends nothing more.
        pool.shutdown(cancel_futures=True)


def _ask(client: UpbitClient, ask: Ask, unit: MinuteUnit) -> Answer:
    try:
        rows = minutes_between(client, ask.market, ask.start, ask.end, overlap=ask.overlap, unit=unit)
    except Banned as error:
        return Answer(ask, failure=f"banned until {error.until:%Y-%m-%dT%H:%M:%SZ}")
    except ExchangeError as error:
        return Answer(ask, failure=f"{type(error).__name__}: {error}", final=isinstance(error, UnknownMarket))
    candles = [row.to_candle() for row in rows]
    inside = tuple(candle for candle in candles if candle.start >= ask.start)
    return Answer(ask, inside, tuple(candle for candle in candles if candle.start < ask.start))
