"""Upbit's own SDK against the origin in UPBIT_BASE_URL: prints what it understood as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import upbit


def plain(rows: Any) -> list[dict[str, Any]]:
    time.sleep(0.11)  # the SDK does not pace itself
    return [row.to_dict() for row in rows]


def refusal(client: upbit.Upbit, **query: Any) -> dict[str, Any]:
    try:
        client.candles.list_minutes(1, **query)
    except upbit.APIStatusError as error:
        return {"type": type(error).__name__, "status": error.status_code, "body": error.body}
    return {}


def main(market: str, to: str) -> dict[str, Any]:
    client = upbit.Upbit()
    candles = client.candles
    common = {"market": market, "to": to}
    newer = plain(candles.list_minutes(1, count=200, **common))
    older = candles.list_minutes(1, market=market, count=200, to=newer[-1]["candle_date_time_utc"] + "Z")
    return {
        "markets": plain(client.trading_pairs.list(is_details=True)),
        "ticker": plain(client.tickers.list_by_trading_pairs(markets=market)),
        "tickers": plain(client.tickers.list_by_quote_currencies(quote_currencies="KRW,BTC,USDT")),
        "minutes": newer + plain(older),
        "units": {unit: plain(candles.list_minutes(unit, count=10, **common)) for unit in (3, 5, 10, 15, 30, 60, 240)},
        "days": plain(candles.list_days(count=5, converting_price_unit="KRW", **common)),
        "weeks": plain(candles.list_weeks(count=3, **common)),
        "months": plain(candles.list_months(count=2, **common)),
        "years": plain(candles.list_years(count=1, **common)),
        "seconds": plain(candles.list_seconds(count=200, **common)),
        "unknown": refusal(client, market="KRW-NOPE"),
        "wrong": refusal(client, market=market, to="yesterday"),
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
