"""A filesystem of its own for a test, which the test may fill."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BLOCK = 4096


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """Folder of an ext4 of `size` bytes, mounted for the block; a test is skipped where one may not mount."""
    image, there = folder / "disk.img", folder / "disk"
    there.mkdir()
    with image.open("wb") as file:
        file.truncate(size)
    _command("mkfs.ext4", "-q", "-m", "0", str(image))  # nothing is kept back for root
    _command("mount", "-o", "loop", str(image), str(there))
    try:
        yield there
    finally:
        subprocess.run(["umount", "--lazy", str(there)], check=True)
        image.unlink()


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free for the block; the room is there again after it."""
    filler = disk / "filler"
    with filler.open("wb") as file:
        more = shutil.disk_usage(disk).free
        while more >= BLOCK:
            try:
                os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, more)
            except OSError:  # somebody else took some of it
                more //= 2
            else:
                more = shutil.disk_usage(disk).free
    try:
        yield
    finally:
        filler.unlink()


def _command(*words: str) -> None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip(f"there is no {words[0]} on this machine")
    if done.returncode:
        pytest.skip(f"no filesystem of one's own: {' '.join(words)} says {done.stderr.strip()}")
