"""docker/ec2/user-data.sh, carried out in a mount namespace: what it would do to the machine is noted, not done."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from upbit_elt.stack.names import REPO

SCRIPT = REPO / "docker" / "ec2" / "user-data.sh"
# Programs that change a machine: each notes how it was called. `git clone` makes what the script goes on with.
NOTED = "apt-get docker fallocate chmod mkswap swapon sysctl mkfs.ext4 blkid systemctl mount git df"
STUB = """#!/bin/bash
echo "${0##*/} $*" >>"$NOTES"
case "${0##*/} $1" in
  "git clone") mkdir -p /opt/upbit-elt && ln -s "$STUBS/run" /opt/upbit-elt/run ;;
  "df "*) printf 'Avail\\n%s\\n' "${FREE_GB:-100}" ;;
  "blkid "*) [ -n "${FILE_SYSTEM:-}" ] || [ "$1" = -s ] ;;
esac
"""
# What it writes to is another's in here; the stubs come first, but for this.
INSIDE = """
for folder in /opt /var/lib /etc/apt/apt.conf.d /etc/sysctl.d; do /bin/mount -t tmpfs none "$folder" || exit 77; done
: >"$NOTES.fstab" && /bin/mount --bind "$NOTES.fstab" /etc/fstab || exit 77
export PATH=$STUBS:$PATH
exec bash "$0"
"""


@dataclass
class Ran:
    """How the script ended: its exit code, what it said, and the calls that it made, in order."""

    code: int
    said: str
    calls: list[str]
    fstab: str


def carry_out(folder: Path, given: dict[str, str], **variables: str) -> Ran:
    """The script with its first lines set as `given`."""
    stubs, notes = folder / "stubs", folder / "notes"
    stubs.mkdir()
    for name in (*NOTED.split(), "run"):
        (stubs / name).write_text(STUB)
        (stubs / name).chmod(0o755)
    text = SCRIPT.read_text()
    for name, value in given.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{name}="))
        text = text.replace(line, f"{name}={value}")
    (folder / "user-data.sh").write_text(text)
    notes.touch()
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "bash", "-c", INSIDE, str(folder / "user-data.sh")],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "STUBS": str(stubs), "NOTES": str(notes), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77 or "unshare:" in done.stderr:
        pytest.skip(f"no mount namespaces here: {done.stderr.strip()}")
    fstab = Path(f"{notes}.fstab")
    return Ran(done.returncode, done.stdout + done.stderr, notes.read_text().splitlines(), fstab.read_text())


def test_user_data_installs_docker_makes_swap_and_starts_the_stack(tmp_path: Path) -> None:
    ran = carry_out(tmp_path, {"REPOSITORY": "https://example.org/me/upbit-elt.git", "VERSION": "v1"})
    assert ran.code == 0, ran.said
    assert ran.calls[0] == "apt-get update"
    assert "docker.io" in ran.calls[1]
    assert "swapon /swapfile" in ran.calls
    assert ran.fstab == "/swapfile none swap sw 0 0\n"
    assert ran.calls[-4:] == [
        "git clone --branch v1 https://example.org/me/upbit-elt.git /opt/upbit-elt",
        "run env",
        "docker compose build",
        "docker compose up --wait --detach",
    ]
    assert not [call for call in ran.calls if call.startswith("mkfs")]


@pytest.mark.parametrize("file_system", ["", "ext4"], ids=["empty volume", "volume with data"])
def test_a_volume_is_formatted_only_when_it_is_empty(tmp_path: Path, file_system: str) -> None:
    device = {"REPOSITORY": "r", "DATA_DEVICE": "/dev/nvme1n1"}
    ran = carry_out(tmp_path, device, FILE_SYSTEM=file_system)
    assert ran.code == 0, ran.said
    formatted = "mkfs.ext4 -L docker /dev/nvme1n1" in ran.calls
    assert formatted == (not file_system)
    mounts = [call for call in ran.calls if call.startswith(("mount", "systemctl"))]
    assert mounts == [
        "systemctl stop docker.socket docker containerd",
        "mount /var/lib/docker",
        "mount /var/lib/containerd",
        "systemctl start containerd docker",
    ]
    assert "/var/lib/docker ext4" in ran.fstab


@pytest.mark.parametrize(
    ("given", "free", "words"),
    [({}, "100", "set REPOSITORY"), ({"REPOSITORY": "r"}, "5", "5 GB are free in /var/lib/docker")],
    ids=["no repository", "little disk"],
)
def test_user_data_says_in_one_line_what_is_missing_and_starts_nothing(
    tmp_path: Path, given: dict[str, str], free: str, words: str
) -> None:
    ran = carry_out(tmp_path, given, FREE_GB=free)
    assert ran.code == 1
    assert words in ran.said
    assert not [call for call in ran.calls if call.startswith(("git", "run", "docker compose up"))]
