"""`scratch.py PID`: removes what the sessions of an earlier HiveServer2 left in HDFS. entrypoint.sh starts it beside
each new one, whose process id it gets.

A session takes its folder with it. Those of a HiveServer2 that was killed stay, with whatever a query had written. Only
entries go that are older than this start, by the NameNode's clock.
"""

from __future__ import annotations

import json
import os
import sys
import time
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

STARTED = time.monotonic()
TIMEOUT, PATIENCE, PAUSE = 15, 300.0, 0.5
DIRECT = build_opener(ProxyHandler({}))  # Docker's config.json may give every container a proxy


def call(method: str, path: str, operation: str, **options: str) -> tuple[dict[str, Any], float]:
    """What WebHDFS answers ({} where no such path is), and its clock (s). Raises OSError when it refuses or is away."""
    host, port = os.environ.get("STACK_NAMENODE_HOST", "127.0.0.1"), os.environ.get("STACK_NAMENODE_HTTP_PORT", "9870")
    query = urlencode({"op": operation, "user.name": os.environ["USER"], **options})
    address = f"http://{host}:{port}/webhdfs/v1{quote(path)}?{query}"
    try:
        with DIRECT.open(Request(address, method=method, headers={"X-XSRF-HEADER": "x"}), timeout=TIMEOUT) as answer:
            return json.load(answer), parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except HTTPError as error:
        if error.code == 404:
            return {}, 0.0
        raise


def below(folder: str) -> tuple[list[tuple[str, float]], float]:
    """Paths in a folder with the time (s) of their last change, and the NameNode's clock."""
    found, clock = call("GET", folder, "LISTSTATUS")
    entries = found.get("FileStatuses", {}).get("FileStatus", [])
    return [(f"{folder}/{entry['pathSuffix']}", entry["modificationTime"] / 1000) for entry in entries], clock


def clean(root: str) -> int:
    """Remove what lies in the folders of `root` (one a user) since before this start; gives how many paths went."""
    folders, clock = below(root)
    start = clock - (time.monotonic() - STARTED)
    old = [path for folder, _ in folders for path, changed in below(folder)[0] if changed < start - 1]
    for path in old:
        call("DELETE", path, "DELETE", recursive="true")
    return len(old)


def main(server: int) -> str | None:
    """Try until the NameNode takes it, which may be starting, or HiveServer2 is gone; gives why it was not done."""
    while True:
        try:
            count = clean(os.environ["STACK_HIVE_SCRATCH"])
        except (OSError, HTTPException, ValueError) as error:
            if time.monotonic() - STARTED > PATIENCE or not Path(f"/proc/{server}").exists():
                return f"what earlier sessions left in HDFS stays: {error}"
            time.sleep(PAUSE)
        else:
            if count:
                sys.stderr.write(f"removed {count} folders that earlier sessions left in HDFS\n")
            return None


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
