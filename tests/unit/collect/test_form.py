from __future__ import annotations

from typing import Any

import pytest

from upbit_elt.backfill import take_form
from upbit_elt.errors import ConfigError
from upbit_elt.settings import Settings


def test_an_empty_form_asks_for_nothing() -> None:
    assert take_form(Settings(), {"start": None, "end": None, "markets": None, "cancel": None}, "test") is None


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
        take_form(Settings(), form, "test")
