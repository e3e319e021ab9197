"""Isolation: an error that concerns one day, file or request does not stop the work on the others."""

from __future__ import annotations

import logging
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager

from upbit_elt.errors import (
    ConfigError,
    LakeTooNew,
    LakeUnavailable,
    LeaseHeld,
    LoginFailed,
    UpbitEltError,
    WarehouseUnavailable,
)
from upbit_elt.lake.webhdfs import Lake

log = logging.getLogger(__name__)
# Errors that concern all the work, not one day or file. LeaseHeld means here that the work's own lease was lost.
OF_ALL = (WarehouseUnavailable, LoginFailed, ConfigError, LeaseHeld, LakeTooNew)


@contextmanager
def isolated(lake: Lake, name: str, troubles: MutableMapping[str, str]) -> Iterator[None]:
    """Catch the errors of the block, which works on `name`; log them, and store their words as `troubles[name]`.

    Errors that concern all the work are raised: HDFS or Hive do not answer, a password or setting is wrong, the lease
    was lost, a newer release has written the lake.
    """
    try:
        yield
    except OF_ALL:
        raise
    except LakeUnavailable as error:
        lake.list(lake.root or "/")  # raises when HDFS does not answer at all; else only this file is unavailable
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
