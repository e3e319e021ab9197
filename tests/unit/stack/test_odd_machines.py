"""Machines on which the stack cannot run, or ran out of something: one line says so, and it goes on afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from tests.support.clock import ManualClock, utc
from tests.support.disk import full_disk
from tests.unit.stack.conftest import Stub
from upbit_elt.errors import StackError, StateUnavailable
from upbit_elt.exchange.limits import AddressLimits
from upbit_elt.stack import airflow, first, preflight
from upbit_elt.stack.airflow import AirflowApi
from upbit_elt.stack.choice import RememberedChoice as Remembered
from upbit_elt.stack.choice import recall
from upbit_elt.stack.memory import memory
from upbit_elt.stack.options import StackSettings, load

GB = 10**9


def group(folder: Path, version: int, limit: int | str, used: int = 0, spare: int = 0) -> None:
    """A control group's files, as the kernel shows them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current") if version == 2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    for name, value in zip(names, (limit, used), strict=True):
        (folder / name).write_text(f"{value}\n")
    (folder / "memory.stat").write_text(
        f"anon 1\n{'inactive_file' if version == 2 else 'total_inactive_file'} {spare}\n"
    )


@contextmanager
def another_user(uid: int) -> Iterator[None]:
    """This process as another user, who has none of root's rights."""
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def user() -> Iterator[Path]:
    """A folder below which every user may look: pytest's own is closed to others."""
    with TemporaryDirectory() as name:
        folder = Path(name) / "user"
        folder.mkdir()
        folder.parent.chmod(0o755)
        yield folder


@pytest.fixture
def groups(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


@pytest.mark.parametrize(
    ("version", "line", "place"),
    [(2, "0::/user.slice/run", "user.slice"), (1, "4:memory:/docker/7\n0::/", "memory/docker")],
)
def test_the_memory_limit_of_a_parent_group_counts(
    stack: StackSettings, groups: Path, tmp_path: Path, version: int, line: str, place: str
) -> None:
    own = tmp_path / "own"
    own.write_text(f"9:name=systemd:/\n{line}\n")
    group(groups / place, version, 2 * GB, used=int(1.5 * GB), spare=GB // 10)
    here = memory(groups, own)
    assert (here.total, here.available) == (2 * GB, 6 * GB // 10)
    with pytest.raises(
        StackError, match=r"a limit .*leaves 2\.0 GB of memory, 4 GB are needed: .*UPBIT_RUN_MIN_MEMORY_GB"
    ):
        preflight.check_memory(stack, here)


def test_without_a_limit_it_is_the_machines_memory(stack: StackSettings, groups: Path, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    group(groups, 2, "max")
    assert memory(groups, own).total == psutil.virtual_memory().total
    preflight.check_memory(stack.model_copy(update={"min_memory_gb": 0.0}))
    with pytest.raises(StackError, match="this machine has"):
        preflight.check_memory(stack.model_copy(update={"min_memory_gb": 1e6}), memory(groups, own))


def test_after_one_sudo_run_the_files_owner_is_named(stack: StackSettings) -> None:
    preflight.check_owner(stack)
    stack.run_dir.mkdir(parents=True)
    preflight.check_owner(stack)
    with pytest.raises(StackError) as caught:
        preflight.check_owner(stack, uid=os.geteuid() + 54321)
    assert f"{stack.run_dir} belongs to " in str(caught.value)
    assert f"you are user {os.geteuid() + 54321}" in str(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone gives files away")
@pytest.mark.parametrize(
    ("owner", "who", "advice"),
    [(0, 12345, "sudo ./run stop; sudo chown -R user 12345"), (12345, 0, "run it as user 12345")],
)
def test_both_ways_round_the_advice_fits(stack: StackSettings, owner: int, who: int, advice: str) -> None:
    stack.run_dir.mkdir(parents=True)
    os.chown(stack.run_dir, owner, owner)
    with pytest.raises(StackError, match=advice):
        preflight.check_owner(stack, uid=who)


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone becomes another user")
@pytest.mark.parametrize(
    ("owner", "closed", "words"),
    [
        (0, "data", "sudo ./run stop; sudo chown -R user 12345"),
        (23456, "data", "and you are user 12345: run it as user 23456"),
        (12345, "data", "chmod u\\+rwx "),
        (0, ".", "run it as root, or choose another data folder with UPBIT_RUN_DATA_DIR"),
    ],
)
def test_a_data_folder_that_may_not_be_looked_into_is_named_with_its_owner(
    owner: int, closed: str, words: str, user: Path
) -> None:
    """`secrets.py` makes the folder 0700, so after one `sudo ./run` its user cannot even list it."""
    stack = load(data_dir=user / "data", jars_dir=user / "data" / "jars")
    stack.run_dir.mkdir(parents=True)
    for path, mode in ((user / "data", 0o755), (user / closed, 0o700 if owner != 12345 else 0)):
        path.chmod(mode)
        os.chown(path, owner, owner)
    with another_user(12345), pytest.raises(StackError, match=words):
        preflight.check_owner(stack)
    settings = first.FirstSettings(stack.data_dir, stack.jars, 0, 0, stack.ports)
    with another_user(12345):
        assert len(first.troubles(settings, replica=True)) == 1


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "drvfs"])
def test_a_data_folder_on_a_network_or_windows_drive_is_refused(stack: StackSettings, kind: str) -> None:
    root = Path("/")
    preflight.check_drive(stack, {root: kind})  # some sandboxes have such a root, which looks like ours
    preflight.check_drive(stack, {root: "ext4", stack.data_dir.parent: "ext4", stack.data_dir.parent.parent: kind})
    with pytest.raises(StackError, match=rf"network or Windows drive \({kind} on .*UPBIT_RUN_DATA_DIR"):
        preflight.check_drive(stack, {root: "ext4", stack.data_dir.parent: kind})


def test_the_choices_of_a_data_folder_survive_a_full_disk(stack: StackSettings) -> None:
    first = Remembered(exchange="upbit", namenode_port=stack.namenode_port)
    first.save(stack)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        first.model_copy(update={"exchange": "replica"}).save(stack)
    assert recall(stack) == first
    second = first.model_copy(update={"exchange": "replica"})
    second.save(stack)
    assert recall(stack) == second


def test_a_dag_that_its_user_paused_stays_paused_after_a_full_disk(stub: Stub, tmp_path: Path) -> None:
    stub.answers["POST /auth/token"] = (201, {"access_token": "t"})
    row = {"dag_id": "close_day", "is_paused": True, "fileloc": "/dags/close_day.py"}
    stub.answers |= {"GET /api/v2/dags": (200, {"dags": [row]}), "PATCH /api/v2/dags/close_day": (200, {})}
    api, remembered = AirflowApi(stub.url, "secret"), tmp_path / "unpaused.json"
    airflow.unpause_new(api, remembered)
    with full_disk(), pytest.raises(OSError, match="File too large"):
        airflow.unpause_new(api, remembered)
    assert airflow.unpause_new(api, remembered) == []


def test_without_room_for_the_rate_limit_nothing_is_sent_and_then_it_goes_on(tmp_path: Path) -> None:
    limits = AddressLimits(tmp_path, 10, ManualClock(utc(3, 0)))
    with full_disk(), pytest.raises(StateUnavailable, match=r"limits\.db cannot be written: the disk .*full \("):
        limits.acquire("candles")
    assert limits.acquire("candles") is False
    with full_disk(), pytest.raises(StateUnavailable):
        AddressLimits(tmp_path / "new", 10, ManualClock(utc(3, 0))).acquire("candles")
