"""ccxt against an origin: prints what it understood as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import ccxt


def refusal(exchange: ccxt.upbit, market: str) -> dict[str, str]:
    try:
        exchange.publicGetCandlesTimeframeUnit({"timeframe": "minutes", "unit": 1, "market": market})
    except ccxt.BaseError as error:
        return {"type": type(error).__name__, "text": str(error)}
    return {}


def main(origin: str, symbol: str, since: str) -> dict[str, Any]:
    exchange = ccxt.upbit({"urls": {"api": {"public": origin, "private": origin}}})
    start = int(since)
    kinds = {"1m": 200, "5m": 50, "1h": 24, "4h": 6, "1d": 2}
    return {
        "markets": [market["id"] for market in exchange.load_markets().values()],
        "ticker": exchange.fetch_ticker(symbol),
        "tickers": sorted(exchange.fetch_tickers()),
        "candles": {kind: exchange.fetch_ohlcv(symbol, kind, start, limit) for kind, limit in kinds.items()},
        "unknown": refusal(exchange, "KRW-NOPE"),
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
