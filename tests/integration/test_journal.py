"""A real NameNode puts its journal into a new image while it is written to: nothing restarts, nothing waits."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from upbit_elt.lake.webhdfs import Lake
from upbit_elt.settings import Settings
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.waiting import until


def images(stack: StackSettings) -> set[Path]:
    found = (stack.data_dir / "hdfs" / "name" / "current").glob("fsimage_*")
    return {image for image in found if not image.suffix}


def test_the_journal_goes_into_an_image_while_hdfs_is_written_to(
    daemons: Settings, daemon_stack: StackSettings
) -> None:
    lake, folder = Lake.from_settings(daemons), f"/journal-{uuid4().hex}"
    log = daemon_stack.logs_dir / "namenode.log"
    began, before = datetime.now(UTC), images(daemon_stack)
    for image in before:
        os.utime(image, (0, 0))
    written: list[str] = []

    def merged() -> str | None:
        written.append(f"{folder}/{len(written)}")
        lake.create(written[-1], b"x")  # raises while HDFS is read-only
        return None if images(daemon_stack) - before else "no new image yet"

    said = log.read_text(errors="replace").count("STARTUP_MSG")
    assert until(merged, 180, lambda _: None) is None
    (new,) = images(daemon_stack) - before
    assert new.stat().st_mtime >= began.timestamp() - 1
    assert {f"{folder}/{entry.name}" for entry in lake.list(folder)} == set(written)
    assert log.read_text(errors="replace").count("STARTUP_MSG") == said, "the NameNode was restarted"
    lake.delete(folder)
