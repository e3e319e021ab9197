"""Edges of the stack, faked: an HTTP server that answers from a table, and programs that write down their calls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import time
from typing import Any

import pytest

from tests.support.http_server import Handler, serving
from upbit_elt.stack.options import StackSettings, load


@dataclass
class Stub:
    """Answers `METHOD /path` (the query is not looked at) with (status, body); anything else is a 404."""

    url: str = ""
    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    locations: dict[str, str] = field(default_factory=dict)  # where an answer sends its client on to
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    ahead: float = 0.0  # seconds by which its clock (the `Date` header) is ahead


def _handler(stub: Stub) -> type[Handler]:
    class Table(Handler):
        def respond(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            stub.requests.append((self.command, self.path, body))
            name = f"{self.command} {self.path.partition('?')[0]}"
            status, content = stub.answers.get(name, (404, {}))
            data = (content if isinstance(content, str) else json.dumps(content)).encode()
            self.send(status, data, **({"Location": stub.locations[name]} if name in stub.locations else {}))

        do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = respond

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string((timestamp or time()) + stub.ahead)

    return Table


@pytest.fixture
def stub() -> Iterator[Stub]:
    one = Stub()
    with serving(_handler(one)) as one.url:
        yield one


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackSettings:
    """A stack in a folder of its own, without the user's environment."""
    for name in StackSettings.model_fields:
        monkeypatch.delenv(f"UPBIT_RUN_{name.upper()}", raising=False)
    return load(data_dir=tmp_path / "data", **{name: 1 + index for index, name in enumerate(_ports())})


def _ports() -> list[str]:
    return [name for name in StackSettings.model_fields if name.endswith("_port")]


def program(path: Path, script: str) -> Path:
    """An executable bash script."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return path
