"""A local Upbit: the real one's quotation API over synthetic or recorded candles. For tests and offline trials."""

from upbit_elt.replica.app import create_replica, utc_now
from upbit_elt.replica.faults import Faults, inject
from upbit_elt.replica.replay import ReplaySource
from upbit_elt.replica.server import running
from upbit_elt.replica.source import Market, Source
from upbit_elt.replica.synthetic import SyntheticSource
from upbit_elt.replica.truth import truth

__all__ = [
    "Faults",
    "Market",
    "ReplaySource",
    "Source",
    "SyntheticSource",
    "create_replica",
    "inject",
    "running",
    "truth",
    "utc_now",
]
