"""What a stranger types: one clear sentence, no traceback."""

from __future__ import annotations

import click
import pytest

from upbit_elt.cli.parameters import KstDay, MarketCode, Moment


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59Z", "1999-12-31", "yesterday", "", "2026-13-01", "5"])
def test_an_invalid_time_gets_an_error_of_one_sentence(text: str) -> None:
    with pytest.raises(click.BadParameter, match=r"is no time|is not between 2000 and 2199"):
        Moment().convert(text, None, None)


@pytest.mark.parametrize(("text", "code"), [("krw-btc", "KRW-BTC"), (" BTC-1INCH ", "BTC-1INCH")])
def test_a_market_may_be_written_small(text: str, code: str) -> None:
    assert MarketCode().convert(text, None, None) == code


@pytest.mark.parametrize("text", ["BTC", "", "KRW-BTC,KRW-ETH", "KRW_BTC", "KRW-", "KRW-비트", "-" * 500])
def test_an_invalid_market_gets_an_error_of_one_sentence(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no market; write quote and coin, as KRW-BTC"):
        MarketCode().convert(text, None, None)


@pytest.mark.parametrize(("text", "day"), [("261124", "261124"), ("2026-11-24", "261124")])
def test_a_day_is_written_as_the_lake_has_it(text: str, day: str) -> None:
    assert KstDay().convert(text, None, None) == day
