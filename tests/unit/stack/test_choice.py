from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.stack.conftest import Stub
from upbit_elt.errors import StackError
from upbit_elt.settings import Settings
from upbit_elt.stack import choice
from upbit_elt.stack.choice import Choice, RememberedChoice
from upbit_elt.stack.options import StackSettings

NOBODY = "http://127.0.0.1:9"


def changed(stack: StackSettings, **values: object) -> StackSettings:
    return stack.model_copy(update=values)


def test_upbit_is_used_when_it_answers(stack: StackSettings, stub: Stub) -> None:
    stub.answers["GET /v1/market/all"] = (200, [{"market": "KRW-BTC"}])
    assert choice.choose(stack, None, stub.url) == Choice("upbit", None)


def test_otherwise_the_replica_and_why(stack: StackSettings, stub: Stub) -> None:
    silent = choice.choose(stack, None, NOBODY)
    assert silent.exchange == "replica"
    assert silent.reason is not None
    assert NOBODY in silent.reason
    stub.answers["GET /v1/market/all"] = (503, {})
    assert choice.choose(stack, None, stub.url).exchange == "replica"


def test_a_chosen_exchange_is_not_probed(stack: StackSettings) -> None:
    assert choice.choose(changed(stack, exchange="upbit"), None, NOBODY) == Choice("upbit", None)
    assert choice.choose(changed(stack, exchange="replica"), None, NOBODY) == Choice("replica", None)
    replay = changed(stack, replay=Path("/candles"))
    assert choice.choose(replay, None, NOBODY) == Choice("replica", Path("/candles"))


def test_a_second_start_goes_on_with_the_same_exchange(stack: StackSettings) -> None:
    RememberedChoice(exchange="replica", replay=Path("/candles"), namenode_port=stack.namenode_port).save(stack)
    memory = choice.recall(stack)
    assert choice.choose(stack, memory, NOBODY)[:2] == ("replica", Path("/candles"))
    assert choice.choose(changed(stack, exchange="upbit"), memory, NOBODY) == Choice("upbit", None)


def test_another_namenode_port_on_old_data_is_refused(stack: StackSettings) -> None:
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    with pytest.raises(StackError, match="UPBIT_RUN_NAMENODE_PORT=8020"):
        choice.recall(changed(stack, namenode_port=8021))
    RememberedChoice(exchange="replica", namenode_port=8120).save(stack)
    with pytest.raises(StackError, match="UPBIT_RUN_PORT_OFFSET=100 or UPBIT_RUN_NAMENODE_PORT=8120"):
        choice.recall(changed(stack, namenode_port=8020))
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    assert choice.recall(changed(stack, namenode_port=8020)) is not None


def test_a_damaged_memory_is_an_error_not_a_fresh_start(stack: StackSettings) -> None:
    stack.data_dir.mkdir()
    (stack.data_dir / "stack.json").write_text("{")
    with pytest.raises(StackError, match=r"stack\.json is damaged"):
        choice.recall(stack)


@pytest.mark.parametrize(
    ("chosen", "base_url", "name"),
    [
        (Choice("upbit", None), "https://api.upbit.com", "upbit"),
        (Choice("upbit", None), "https://sg-api.upbit.com", "x_sg_api_upbit_com"),
        (Choice("upbit", None), "http://127.0.0.1:8765", "x_127_0_0_1_8765"),
        (Choice("replica", None), "http://127.0.0.1:8765", "replica"),
        (Choice("replica", Path("/candles")), "http://127.0.0.1:8765", "replay"),
    ],
)
def test_only_upbits_own_address_gives_its_dataset(chosen: Choice, base_url: str, name: str) -> None:
    named = choice.dataset(chosen, Settings(base_url=base_url))
    assert named == name
    assert Settings(base_url=base_url, dataset=named).dataset == name
