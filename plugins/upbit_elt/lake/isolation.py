"""One bad thing never stops the others: what goes wrong at one day, file or request is kept to it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from upbit_elt.errors import (
    ConfigError,
    LakeTooNew,
    LakeUnavailable,
    LeaseHeld,
    LoginRefused,
    UpbitEltError,
    WarehouseUnavailable,
)
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)
# What is wrong for everything that is done, not for one thing; of a lease, that it was lost.
OF_ALL = (WarehouseUnavailable, LoginRefused, ConfigError, LeaseHeld, LakeTooNew)


@contextmanager
def isolated(lake: Lake, name: str, troubles: MutableMapping[str, str]) -> Iterator[None]:
    """Keep what goes wrong in the block to the thing `name`: it is logged, and put into `troubles` with its words.

    Raises what concerns all things: HDFS or Hive do not answer, a password or setting is wrong, a lease is not held, a
    newer release has written the lake.
    """
    try:
        yield
    except OF_ALL:
        raise
    except LakeUnavailable as error:  # of HDFS as a whole, or of one file (its block is lost)
        lake.list(lake.root or "/")
        troubles[name] = _log_trouble(name, error)
    except UpbitEltError as error:
        troubles[name] = _log_trouble(name, error)
    except Exception as error:
        log.exception("%s: left as it is, the others go on", name)
        troubles[name] = f"{type(error).__name__}: {error}"


def _log_trouble(name: str, error: UpbitEltError) -> str:
    words = f"{type(error).__name__}: {error}"
    log.error("%s: left as it is, the others go on: %s", name, words)
    return words
