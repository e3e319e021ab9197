"""Memory by service of what runs here: `./run`, or a project of docker compose. Figures of docs/scaling.md.

    ./run exec python bench/memory_bench.py
    python bench/memory_bench.py --compose upbit-elt

It looks eight times within two minutes, so that a live run and its tasks are among what is seen, and starts nothing.
Of `./run`: each service's processes with all below them, a page that several share divided among them. Of docker
compose: what the control group of a container counts as its processes' own (Linux calls it anonymous memory); beside
it the page cache, files that the kernel keeps because there is room, and the limit that holds for both together.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean

REPO = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPO / "plugins"), str(REPO)]

import click
import psutil

from upbit_elt.stack import processes
from upbit_elt.stack.options import load
from upbit_elt.stack.supervision import Supervisor

# of version 2 of control groups, and of version 1
COUNTERS = (("anon", "total_rss"), ("file", "total_cache"))
STAT = "cat /sys/fs/cgroup/memory.stat 2>/dev/null || cat /sys/fs/cgroup/memory/memory.stat"


@dataclass(frozen=True)
class Use:
    """Memory of one service at one moment, in MB of 10^6 bytes; `limit` is 0 when there is none."""

    own: float
    minutes_up: float
    cache: float = 0
    limit: float = 0


def of_run() -> dict[str, Use]:
    """Every service that `./run` started, and its supervisor. Raises StackError when it does not run."""
    stack = load()
    pids = {name: state.pid for name, state in Supervisor(stack).states().items() if state.pid}
    found = {name: Use(processes.resident_mb(pid), _minutes_up(pid)) for name, pid in pids.items()}
    pid = int((stack.run_dir / "supervisord.pid").read_text())
    found["supervisord"] = Use(psutil.Process(pid).memory_full_info().pss / 1e6, _minutes_up(pid))
    return found


def of_compose(project: str) -> dict[str, Use]:
    """Every service of a project; the containers of one service are added up."""
    ids = _docker("ps", "--quiet", "--filter", f"label=com.docker.compose.project={project}").split()
    if not ids:
        raise click.ClickException(f"no container of a project '{project}' runs (docker compose ls)")
    parts = defaultdict(list)
    for container in json.loads(_docker("inspect", *ids)):
        stat = dict(line.split() for line in _docker("exec", container["Id"], "sh", "-c", STAT).splitlines())
        own, cache = (int(stat[new] if new in stat else stat[old]) / 1e6 for new, old in COUNTERS)
        started = datetime.fromisoformat(container["State"]["StartedAt"].split(".")[0]).replace(tzinfo=UTC)
        minutes = (datetime.now(UTC) - started).total_seconds() / 60
        service = container["Config"]["Labels"]["com.docker.compose.service"]
        parts[service].append(Use(own, minutes, cache, container["HostConfig"]["Memory"] / 1e6))
    return {service: _together(uses) for service, uses in parts.items()}


def _together(uses: list[Use]) -> Use:
    own, cache, limit = (sum(getattr(use, name) for use in uses) for name in ("own", "cache", "limit"))
    return Use(own, min(use.minutes_up for use in uses), cache, limit)


def _docker(*arguments: str) -> str:
    command = shutil.which("docker")
    if command is None:
        raise click.ClickException("docker is not installed")
    return subprocess.run([command, *arguments], stdout=subprocess.PIPE, text=True, check=True).stdout


def _minutes_up(pid: int) -> float:
    return (time.time() - psutil.Process(pid).create_time()) / 60


def looked_at(look: Callable[[], dict[str, Use]], samples: int, every: float) -> dict[str, list[Use]]:
    """By service, what so many looks saw, so many seconds apart."""
    seen: dict[str, list[Use]] = defaultdict(list)
    for number in range(samples):
        if number:
            time.sleep(every)
        for name, use in look().items():
            seen[name].append(use)
    return seen


@click.command()
@click.option("--compose", "project", help="A project of docker compose; without it, what ./run started.")
@click.option("--samples", default=8, show_default=True, type=click.IntRange(1))
@click.option("--every", default=15.0, show_default=True, help="Seconds between two looks.")
def main(project: str | None, samples: int, every: float) -> None:
    """Print a row a service: mean and most of its own memory, page cache and limit with docker compose."""
    seen = looked_at((lambda: of_compose(project)) if project else of_run, samples, every)
    more = f" {'cache':>7} {'limit':>7}" if project else ""
    click.echo(f"{'MB (10^6 bytes)':24} {'mean':>7} {'most':>7}{more} {'min up':>7}")
    for name, uses in sorted(seen.items()):
        own, last = [use.own for use in uses], uses[-1]
        more = f" {mean(use.cache for use in uses):7.0f} {last.limit:7.0f}" if project else ""
        click.echo(f"{name:24} {mean(own):7.0f} {max(own):7.0f}{more} {last.minutes_up:7.0f}")
    whole = sum(mean(use.own for use in uses) for uses in seen.values())
    more = f" {'':7} {sum(mean(use.cache for use in uses) for uses in seen.values()):7.0f}" if project else ""
    click.echo(f"{'all':24} {whole:7.0f}{more}")


if __name__ == "__main__":
    main()
