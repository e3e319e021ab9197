from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.support.clock import utc
from upbit_elt.errors import ConfigError
from upbit_elt.flows.backfill_candle import wanted_by

NOW = utc(3, 30, 5)


def test_an_empty_form_makes_no_request() -> None:
    assert wanted_by({"start": None, "end": None, "markets": None, "cancel": None}, "test", NOW) is None


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"end": "2026-11-02"}, "the first day is missing"),
        ({"markets": ["KRW-BTC"]}, "the first day is missing"),
        ({"start": "2026-11-31"}, "'2026-11-31' is no day"),
        ({"start": "2026-11-03", "end": "2026-11-01"}, "must lie before"),
        ({"start": "2190-01-01", "end": "2190-01-02"}, "must lie before"),
    ],
)
def test_a_form_that_makes_no_sense_is_refused(form: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        wanted_by(form, "test", NOW)


@pytest.mark.parametrize("form", [{"start": "2026-11-01"}, {"start": "2026-11-01", "end": "2026-11-24"}])
def test_a_form_whose_task_is_tried_again_is_the_same_request(form: dict[str, Any]) -> None:
    first, again = (wanted_by(form, "manual__1", NOW) for _ in range(2))
    assert first is not None
    assert first == again
    assert first.end == NOW.replace(second=0), "until the form was sent, not until its task was tried"
    later = wanted_by({"start": "2026-11-01"}, "manual__2", NOW + timedelta(minutes=1))
    assert later is not None
    assert later.id != first.id
