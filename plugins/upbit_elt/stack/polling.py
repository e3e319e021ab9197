"""Waiting for a condition, for a bounded time."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed


def becomes_true(condition: Callable[[], object], timeout: float, every: float = 0.1) -> bool:
    """Look every `every` seconds until the condition holds; False when it does not within `timeout` seconds."""
    poll = Retrying(
        retry=retry_if_result(lambda found: not found),
        wait=wait_fixed(every),
        stop=stop_after_delay(timeout),
        retry_error_callback=lambda _: False,
    )
    return bool(poll(condition))
