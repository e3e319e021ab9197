"""Small synthetic exchanges, and a lake and a Hive in memory, for the forecast tests."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from upbit_elt.candle import Candle, to_table, wire, wire_kst
from upbit_elt.errors import LakeConflict, LakeCorrupt
from upbit_elt.forecast.panel import COLUMNS, Panel
from upbit_elt.lake.webhdfs import Entry, Lake
from upbit_elt.warehouse.hive import Hive, Statements
from upbit_elt.warehouse.tables import columns

END = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
TICK = 1.0


def candle(market: str, moment: datetime, close: float, *, volume: float = 1.0, spread: float = 0.0) -> Candle:
    high, low = close + spread, close - spread
    kst, start = wire_kst(moment), wire(moment)
    stamp = int(moment.timestamp() * 1000)
    return Candle(market, start, kst, close, high, low, close, stamp, close * volume, volume, 1)


def names(count: int) -> list[str]:
    return ["KRW-BTC", "KRW-ETH", *(f"KRW-C{number:02d}" for number in range(count - 2))]


def walk(minutes: int, markets: int, seed: int = 0, *, end: datetime = END) -> pa.Table:
    """Prices that nobody can foretell: independent random walks in whole ticks, a trade in every minute."""
    rng = np.random.default_rng(seed)
    steps = rng.choice([-1.0, 0.0, 1.0], size=(markets, minutes))
    return _table(3000 + np.cumsum(steps, axis=1), rng, end)


def bounce(minutes: int, markets: int, seed: int = 0, *, end: datetime = END) -> pa.Table:
    """Prices that jump between bid and ask, one tick apart, around a level that seldom moves: they revert."""
    rng = np.random.default_rng(seed)
    level = np.cumsum(rng.choice([-1.0, 0.0, 1.0], p=[0.02, 0.96, 0.02], size=(markets, minutes)), axis=1)
    return _table(300 + level + (rng.random((markets, minutes)) < 0.5), rng, end)


def swing(minutes: int, markets: int, seed: int = 0, *, end: datetime = END) -> pa.Table:
    """Prices that mostly go back where they came from: the next minute's can be foretold."""
    rng = np.random.default_rng(seed)
    side = np.cumsum(rng.random((markets, minutes)) < 0.9, axis=1) % 2
    return _table(300.0 + side, rng, end)


def _table(prices: np.ndarray[Any, Any], rng: np.random.Generator, end: datetime) -> pa.Table:
    start = end - timedelta(minutes=prices.shape[1])
    volume = rng.gamma(2.0, size=prices.shape)
    return to_table(
        candle(name, start + timedelta(minutes=i), float(price), volume=float(volume[m, i]), spread=TICK)
        for m, name in enumerate(names(len(prices)))
        for i, price in enumerate(prices[m])
    )


def closes(prices: Mapping[str, Sequence[float] | np.ndarray[Any, Any]], *, end: datetime = END) -> pa.Table:
    """Candles of one price each, a volume of 1, for the last minutes before `end`; NaN is a minute without a trade."""
    parts = []
    for name, values in prices.items():
        close = np.asarray(values, dtype=np.float64)
        traded = np.flatnonzero(~np.isnan(close))
        start = np.datetime64(int(end.timestamp()) - 60 * close.size, "s")
        times = pa.array((start + 60 * traded).astype("datetime64[ms]"))
        price = pa.array(close[traded])
        columns = [pa.array([name] * traded.size), times, price, price, price, pa.array(np.ones(traded.size))]
        parts.append(pa.table(dict(zip(COLUMNS, columns, strict=True))))
    return pa.concat_tables(parts)


def panel_of(table: pa.Table, minutes: int, *, end: datetime = END) -> Panel:
    return Panel.from_table(table, end=end, minutes=minutes)


class MemoryLake(Lake):
    """A lake whose files are in a dictionary."""

    def __init__(self, root: str = "/replica") -> None:
        self.root = root
        self.files: dict[str, bytes] = {}

    def list(self, folder: str) -> list[Entry]:
        inside = [path.removeprefix(f"{folder}/") for path in self.files if path.startswith(f"{folder}/")]
        leaves = {name: len(self.files[f"{folder}/{name}"]) for name in inside if "/" not in name}
        folders = {name.partition("/")[0] for name in inside if "/" in name}
        files = [Entry(name, False, size, END) for name, size in leaves.items()]
        return sorted([*files, *(Entry(name, True, 0, END) for name in folders)])

    def exists(self, path: str) -> bool:
        return path in self.files or any(name.startswith(f"{path}/") for name in self.files)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        if path not in self.files:
            raise LakeCorrupt(f"{path}: no such file in HDFS")
        return self.files[path][offset : None if length is None else offset + length]

    def size(self, path: str) -> int | None:
        return len(self.files[path]) if path in self.files else None

    def create(self, path: str, data: bytes) -> None:
        self.files[path] = data

    def delete(self, path: str) -> None:
        self.files.pop(path, None)

    def _rename(self, source: str, target: str, options: str) -> None:
        if target in self.files and options != "OVERWRITE":
            raise LakeConflict(f"{target}: already there")
        self.files[target] = self.files.pop(source)


class MemoryHive(Hive):
    """Answers the queries of `tables`: partitions and locations, as the statements set them."""

    def __init__(self) -> None:
        self.locations: dict[str, str] = {}

    @contextmanager
    def session(self) -> Iterator[Statements]:
        yield self

    def execute(self, *statements: str) -> None:
        for sql in statements:
            add = re.search(r"ALTER TABLE (\S+) ADD IF NOT EXISTS (PARTITION \(.*?\)) LOCATION '(.*?)'", sql)
            move = re.search(r"ALTER TABLE (\S+(?: PARTITION \(.*?\))?) SET LOCATION '(.*?)'", sql)
            create = re.search(r"CREATE EXTERNAL TABLE IF NOT EXISTS (\S+) .*LOCATION '(.*?)'", sql, re.DOTALL)
            if add:
                self.locations.setdefault(f"{add[1]} {add[2]}", add[3])
            elif move:
                self.locations[move[1]] = move[2]
            elif create:
                self.locations.setdefault(create[1], create[2])

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        subject = sql.split(maxsplit=2)[2]
        if sql.startswith("DESCRIBE FORMATTED"):
            rows = [(name, "type", "") for name in columns("forecast")]
            return [*rows, ("Location:", self.locations.get(subject, ""), None)]
        if sql.startswith("SHOW PARTITIONS"):
            table, _, only = subject.partition(" PARTITION ")
            wanted = re.escape(only) if only else r"\(dt='.*'\)"
            names = (name for name in self.locations if re.fullmatch(f"{re.escape(table)} PARTITION {wanted}", name))
            parts = (re.search(r"\((dt)='(.*)'\)", name) for name in names)
            return [(f"{part[1]}={part[2]}",) for part in parts if part]
        return [(subject,)] if self.locations else []

    def folder(self, target: str) -> str:
        return posixpath.basename(self.locations[target])
