"""A chat's incoming webhook on this machine: what came to it, and how it misbehaves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

from tests.support.http_server import Handler, serving

SLACK, DISCORD = "/services/T0/B0/secret", "/api/webhooks/1/secret"


class Chat:
    """`bodies` are the JSON documents that it took; `status` is what it answers; `frozen` lets it answer nothing."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.status, self.frozen, self.closing = 200, False, Event()

    @property
    def lines(self) -> list[str]:
        """The texts that it took, in their order."""
        return [body.get("text") or body["content"] for body in self.bodies]


@contextmanager
def chat() -> Iterator[Chat]:
    """A chat for the block."""

    there = Chat()

    class Webhook(Handler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if there.frozen:
                there.closing.wait()
                return
            if there.status == 200:
                there.bodies.append(body)
            self.send(there.status, b"ok", Location="/elsewhere")

    with serving(Webhook) as there.url:
        try:
            yield there
        finally:
            there.closing.set()
