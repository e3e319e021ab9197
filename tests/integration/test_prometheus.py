"""A real Prometheus scrapes the service, evaluates every rule, and fires when the candles grow old."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

from flask import Flask
from werkzeug.serving import make_server

from tests.support.ports import free_ports
from tests.support.prometheus import prometheus, queries, rules
from tests.unit.flask_app.world import World
from upbit_elt.candle import floor_minute
from upbit_elt.stack.polling import becomes_true


@contextmanager
def served(app: Flask) -> Iterator[int]:
    """The app on a port of this machine, in a thread."""
    (port,) = free_ports(1)
    server = make_server("127.0.0.1", port, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_alert_fires_when_candles_grow_old_and_ends_when_they_have_come(tmp_path: Path) -> None:
    world = World(state_dir=tmp_path / "state", webhdfs_url="http://127.0.0.1:9")  # nobody listens on port 9
    world.clock.moment = datetime.now(UTC)  # Prometheus goes by the clock on the wall
    now = floor_minute(world.clock.moment)
    watch = world.app.extensions["upbit_elt"].watch
    world.publish(now - timedelta(minutes=65), now - timedelta(minutes=60))
    watch.look()
    with served(world.app) as port, prometheus(tmp_path / "prometheus", port) as running:
        assert becomes_true(lambda: running.firing() == {"CandlesStale"}, 60), running.firing()
        assert becomes_true(lambda: running.health() == dict.fromkeys(rules(), "ok"), 60), running.health()
        world.publish(now - timedelta(minutes=60), now)
        world.later(10)  # the service looks every few seconds at most
        watch.look()
        assert becomes_true(lambda: not running.firing(), 60), running.firing()
        answers = {query: running.read("query", query=query)["status"] for query in queries()}
        assert set(answers.values()) == {"success"}, answers
        age = 'time() - upbit_candle_known_until_timestamp_seconds{reach="most"}'
        assert age in answers
        assert float(running.get("query", query=age)["result"][0]["value"][1]) < 300
