from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from tests.support.clock import utc
from upbit_elt.collect.adopt import began

SAVED = datetime.fromisoformat("2024-04-04T08:10:05+00:00")
TRADE = SAVED + timedelta(seconds=41)


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        ("240404081005_candel_data.parquet", SAVED),
        ("20240404081005_candel_data.parquet", SAVED),
        ("202404040810.parquet", SAVED.replace(second=0)),
        ("2404041710_candel_data.parquet", SAVED.replace(second=0)),  # KST
        ("240404171005.parquet", SAVED),  # KST
        ("240404081047.parquet", None),  # after the newest trade: perhaps the run's end
        ("240404071005.parquet", None),  # more than an hour before it
        ("candles.parquet", None),
        ("240404.parquet", None),
        ("249904081005.parquet", None),
    ],
)
def test_a_name_is_believed_only_when_the_trades_agree(name: str, moment: datetime | None) -> None:
    assert began(name, TRADE) == moment


def test_a_name_that_could_be_two_times_is_the_earlier() -> None:
    assert began("2012031011.parquet", utc(0)) is None
