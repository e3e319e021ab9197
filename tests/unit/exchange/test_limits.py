from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from upbit_elt.clock import SystemClock
from upbit_elt.errors import Banned
from upbit_elt.exchange.limits import AddressLimits

TAKE = """
import sys, time
from pathlib import Path
from upbit_elt.clock import SystemClock
from upbit_elt.exchange.limits import AddressLimits
limits = AddressLimits(Path(sys.argv[1]), 10, SystemClock())
for _ in range(12):
    limits.acquire("candles")
    print(time.time())
limits.close()
"""


def test_two_processes_together_send_at_most_ten_a_second(tmp_path: Path) -> None:
    AddressLimits(tmp_path, 10, SystemClock()).close()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", TAKE, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    moments = sorted(float(line) for worker in workers for line in worker.communicate(timeout=60)[0].split())
    assert [worker.returncode for worker in workers] == [0, 0]
    assert len(moments) == 24
    busiest = max(sum(start <= moment < start + 1 for moment in moments) for start in moments)
    assert busiest <= 10


def test_a_ban_that_comes_while_waiting_for_a_turn_stops_the_request(tmp_path: Path) -> None:
    limits = AddressLimits(tmp_path, 1, SystemClock())
    limits.acquire("candles")
    other = AddressLimits(tmp_path, 1, SystemClock())
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(limits.acquire, "candles") for _ in range(3)]
        other.ban(datetime.now(UTC) + timedelta(minutes=1))
    assert [type(turn.exception()) for turn in waiting] == [Banned] * 3
    limits.close()
