"""./run as a unit of systemd."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from upbit_elt.stack import options, unit
from upbit_elt.stack.names import REPO

SYSTEMD = shutil.which("systemd-analyze")


@pytest.fixture
def written(tmp_path: Path) -> str:
    stack = options.load(data_dir=tmp_path / "data", exchange="replica")
    given = {
        "PATH": "/usr/bin:/bin",
        "UPBIT_ELT_QUOTES": "KRW,BTC",
        "UPBIT_ELT_PAGE_URL": 'https://example.com/100%/"x"\\y',
        "UPBIT_ELT_FLASK_TOKEN": "not-to-be-seen",
        "HTTPS_PROXY": "http://proxy:3128",
        "OTHER": "nothing of ours",
    }
    return unit.text(stack, exchange="replica", replay=None, given=given)


def test_the_unit_has_the_current_settings_and_no_password(written: str, tmp_path: Path) -> None:
    lines = written.splitlines()
    assert 'Environment="UPBIT_ELT_QUOTES=KRW,BTC"' in lines
    assert 'Environment="UPBIT_ELT_PAGE_URL=https://example.com/100%%/\\"x\\"\\\\y"' in lines
    assert f'Environment="UPBIT_RUN_DATA_DIR={tmp_path}/data"' in lines
    assert 'Environment="HTTPS_PROXY=http://proxy:3128"' in lines
    assert f'ExecStart=-"{REPO}/run" "--exchange" "replica"' in lines
    assert f"PIDFile={tmp_path}/data/run/supervisord.pid" in lines
    assert "not-to-be-seen" not in written
    assert "nothing of ours" not in written


def test_the_command_in_the_unit_prints_the_same_unit(written: str) -> None:
    assert "./run service --exchange replica > ~/.config/systemd/user/upbit-elt.service" in written


@pytest.mark.skipif(SYSTEMD is None, reason="systemd is not here: apt-get install systemd")
def test_systemd_takes_it(written: str, tmp_path: Path) -> None:
    """Also where it would only warn: an unknown option, a path that is none, a wrong quote."""
    file = tmp_path / f"{unit.NAME}.service"
    file.write_text(written)
    done = subprocess.run(
        [str(SYSTEMD), "--user", "--man=no", "verify", str(file)],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
