"""pyupbit, whose host is fixed in its code, led to an origin below `requests`: prints what it understood as JSON."""

from __future__ import annotations

import json
import sys
from typing import Any

import pyupbit
import requests
from requests.adapters import HTTPAdapter


def redirect(origin: str) -> None:
    """Lets every new session send to `origin` what is meant for the exchange."""

    class Redirected(HTTPAdapter):
        def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
            request.url = str(request.url).replace("https://api.upbit.com", origin)
            return super().send(request, *args, **kwargs)

    requests.sessions.HTTPAdapter = Redirected


def frame(market: str, interval: str, count: int, to: str) -> dict[str, list[float]] | None:
    candles = pyupbit.get_ohlcv(market, interval=interval, count=count, to=to)
    if candles is None:
        return None
    rows = zip(candles.index, candles.values, strict=True)
    return {str(moment): [float(value) for value in row] for moment, row in rows}


def refusal(market: str) -> str:
    try:
        return str(pyupbit.get_current_price(market))
    except pyupbit.errors.UpbitErrorMixin as error:
        return type(error).__name__


def main(origin: str, market: str, to: str) -> dict[str, Any]:
    redirect(origin)
    return {
        "markets": pyupbit.get_tickers(),
        "details": pyupbit.get_tickers(fiat="KRW", is_details=True, limit_info=True),
        "prices": pyupbit.get_current_price([market, "KRW-XRP"], verbose=True),
        "minute1": frame(market, "minute1", 450, to),
        "minute60": frame(market, "minute60", 24, to),
        "day": frame(market, "day", 3, to),
        "unknown": frame("KRW-NOPE", "minute1", 1, to),
        "refusal": refusal("KRW-NOPE"),
    }


if __name__ == "__main__":
    json.dump(main(*sys.argv[1:]), sys.stdout)
