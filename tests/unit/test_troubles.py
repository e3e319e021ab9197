"""Each trouble is sent once, and once when it is over, whoever dies or does not answer meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from tests.support.chat import DISCORD, SLACK, Chat, chat
from tests.support.clock import ManualClock, utc
from upbit_elt.troubles import Trouble, Troubles
from upbit_elt.webhook import Webhook

LINE = "[upbit] candles are <stale> & old"
OVER = "[upbit] over after 5 min, since 11-24 03:00 UTC: candles are <stale> & old"


class Scene:
    """A state folder, a clock, and a chat that its webhook leads to."""

    def __init__(self, folder: Path, there: Chat) -> None:
        self.folder, self.chat, self.clock = folder, there, ManualClock(utc(3))
        self.lead_to(there.url + DISCORD)

    def lead_to(self, address: str) -> None:
        (self.folder / "webhook").write_text(f"{address}\n")

    def process(self) -> Troubles:
        """The troubles as a process that starts now sees them."""
        return Troubles(self.folder, "upbit", Webhook(self.folder / "webhook", timeout=1.0), self.clock)

    def report(self, minutes: int = 5) -> None:
        until = self.clock.now() + timedelta(minutes=minutes)
        self.process().report(Trouble("data", "candles are <stale> & old", until))

    def notify(self, after: float = 0.0) -> list[str]:
        """All lines that were sent once a new process has sent what is due."""
        self.clock.set(self.clock.now() + timedelta(seconds=after))
        self.process().notify()
        return self.chat.lines


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    with chat() as there:
        yield Scene(tmp_path, there)


def test_a_trouble_is_sent_once_and_its_end_once(scene: Scene) -> None:
    assert scene.notify() == []
    scene.report()
    assert scene.notify() == [LINE]
    scene.report()
    assert scene.notify(after=200) == [LINE]
    assert scene.notify(after=100) == [LINE, OVER]
    assert scene.notify(after=1000) == [LINE, OVER]
    scene.report()
    assert scene.notify() == [LINE, OVER, LINE], "it is another one"


def test_a_trouble_that_ends_early_is_over_at_once(scene: Scene) -> None:
    scene.report(minutes=60)
    scene.notify()
    scene.clock.set(utc(3, 5))
    scene.process().end("data")
    assert scene.notify() == [LINE, OVER]
    scene.process().end("data")
    assert scene.notify() == [LINE, OVER]


def test_a_trouble_that_comes_back_before_its_end_goes_on(scene: Scene) -> None:
    scene.report()
    scene.notify()
    scene.clock.set(utc(3, 10))
    scene.report()
    assert scene.notify() == [LINE]


def test_while_nobody_can_say_it_is_not_over(scene: Scene) -> None:
    scene.process().renew("data", utc(4))
    assert scene.notify() == []
    scene.report()
    scene.notify()
    scene.process().renew("data", utc(3, 30))
    assert scene.notify(after=600) == [LINE]
    assert scene.process().lasting() == ["data"]


def test_of_several_processes_one_sends(scene: Scene) -> None:
    scene.report()
    together, processes = Barrier(4), [scene.process() for _ in range(4)]

    def notify(process: Troubles) -> None:
        together.wait()
        process.notify()

    threads = [Thread(target=notify, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert scene.chat.lines == [LINE]


def test_a_callback_sends_its_own_trouble_alone(scene: Scene) -> None:
    scene.report()
    scene.process().report(Trouble("task d.t", "d.t fails", utc(4)))
    scene.process().notify("task d.t")
    assert scene.chat.lines == ["[upbit] d.t fails"]


@pytest.mark.parametrize("status", [500, 429, 302])
def test_a_message_that_the_webhook_refused_is_sent_later(
    scene: Scene, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    scene.report()
    scene.chat.status = status
    assert scene.notify() == []
    scene.chat.status = 200
    assert scene.notify(after=59) == [], "not at every look"
    assert scene.notify(after=1) == [LINE]
    assert f"refused with status {status}" in caplog.text
    assert "secret" not in caplog.text


def test_a_chat_that_does_not_answer_stops_nothing(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    scene.report()
    scene.chat.frozen = True
    assert scene.notify() == []
    scene.lead_to(f"http://127.0.0.1:9{SLACK}")  # nobody listens there
    assert scene.notify(after=60) == []
    assert caplog.text.count("does not answer") == 2
    assert "secret" not in caplog.text
    scene.chat.frozen = False
    scene.lead_to(scene.chat.url + DISCORD)
    assert scene.notify(after=300) == [OVER], "over meanwhile: one line is enough"


@pytest.mark.parametrize("address", ["", "no address", "http://", "http://[half/secret", "ftp://chat/secret"])
def test_without_an_address_nothing_is_sent(scene: Scene, address: str, caplog: pytest.LogCaptureFixture) -> None:
    scene.lead_to(address)
    scene.report()
    assert scene.notify() == []
    assert "secret" not in caplog.text
    assert bool(address) == bool(caplog.text)


def test_without_a_file_what_is_over_is_forgotten(scene: Scene) -> None:
    (scene.folder / "webhook").unlink()
    scene.report()
    assert scene.notify(after=600) == []
    scene.lead_to(scene.chat.url + DISCORD)
    assert scene.notify() == []


def test_slack_and_discord_have_their_own_forms(scene: Scene) -> None:
    scene.report()
    scene.notify()
    scene.lead_to(scene.chat.url + SLACK)
    scene.notify(after=600)
    discord, slack = scene.chat.bodies
    assert discord == {"content": LINE, "allowed_mentions": {"parse": []}}
    assert slack["text"].endswith("candles are &lt;stale&gt; &amp; old")


def test_a_damaged_file_is_replaced_by_an_empty_one(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    (scene.folder / "troubles.db").write_bytes(b"no database" * 100)
    scene.report()
    assert scene.notify() == [LINE]
    assert "damaged" in caplog.text
