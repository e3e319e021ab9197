from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.support.clock import utc
from upbit_elt.collect.requests import PASSES, make_request, next_pass
from upbit_elt.collect.requests import _from_json as read
from upbit_elt.collect.requests import _to_json as written
from upbit_elt.errors import ConfigError, LakeCorrupt

NOW = utc(3, 30)
START, END = utc(15, day=18), utc(15, day=21)


def test_the_same_span_and_markets_are_the_same_request() -> None:
    one = make_request(START, END, ["KRW-B", "KRW-A"], NOW, "a")
    same = make_request(START, END, ["KRW-A", "KRW-B", "KRW-A"], NOW + timedelta(hours=1), "b")
    assert one.id == same.id
    assert make_request(START, END, ["KRW-A"], NOW, "a").id != one.id
    assert make_request(START, END, [], NOW, "a").id.endswith("-all")


def test_days_run_backwards_from_where_it_is() -> None:
    request = make_request(START, END, [], NOW, "a")
    assert request.days() == ["261121", "261120", "261119"]
    assert replace(request, at=utc(15, day=20)).days() == ["261120", "261119"]
    gone_through = next_pass(request, ["261119"], NOW)
    assert (gone_through.days(), gone_through.done) == (["261119"], None)
    assert next_pass(request, [], NOW).done == NOW


def test_after_some_passes_a_request_ends_with_what_it_has() -> None:
    request = make_request(START, END, [], NOW, "a")
    for _ in range(PASSES):
        assert request.done is None
        request = next_pass(request, ["261119"], NOW)
    assert (request.done, request.left) == (NOW, ("261119",))


def test_what_is_kept_comes_back_whole() -> None:
    request = make_request(START, END, ["KRW-A"], NOW, "a")
    full = replace(request, left=("261119",), nothing_before={"KRW-A": START}, candles=7, passes=1)
    assert read(written(full), "x") == full
    with pytest.raises(LakeCorrupt, match="delete it and ask again"):
        read(b'{"version": 2}', "x")


@pytest.mark.parametrize(
    ("start", "end"), [(END, START), (NOW, NOW), (NOW + timedelta(days=1), NOW + timedelta(days=2))]
)
def test_a_span_without_a_closed_minute_is_refused(start: object, end: object) -> None:
    with pytest.raises(ConfigError, match="must lie before"):
        make_request(start, end, [], NOW, "a")  # type: ignore[arg-type]
