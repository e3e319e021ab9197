"""Every exception that this project raises on purpose.

A retry of a terminal error fails again; a transient one may pass.

    UpbitEltError
    ├── ConfigError              a setting or option is wrong (terminal)
    ├── DataTooNew               a newer release wrote what is there, and this one does not read it (terminal)
    ├── BadFile                  a file given to the command adopt is not Parquet of candles (terminal)
    ├── BackupFailed             a backup cannot be made, or is no whole one
    ├── ExchangeError
    │   ├── ExchangeTerminal
    │   │   ├── InvalidRequest   invalid before sending, or 400
    │   │   ├── UnknownMarket    404: never listed, or delisted
    │   │   └── BadResponse      200 with a body that does not match the request
    │   └── ExchangeTransient
    │       ├── RateLimited      429
    │       ├── Banned           418, or another process got one; carries the ban's end
    │       ├── ServerTrouble    5xx
    │       ├── Garbled          200 with a body that is no JSON: cut, or a page of some proxy
    │       ├── Unreachable      no connection, or no response in time
    │       ├── EndpointDown     not sent: the endpoint has not answered the requests before
    │       └── OutOfTime        the caller's time limit is reached, or the request's turn does not come
    ├── LakeError
    │   ├── LakeUnavailable      WebHDFS does not answer (transient)
    │   ├── LakeConflict         a file of this name holds other rows (terminal)
    │   ├── LakeCorrupt          a file's content is not what its name says (terminal)
    │   ├── LakeTooNew           a file was written by a newer release (terminal)
    │   ├── NotCollected         the lake does not know the market, the minute or the day
    │   └── LeaseHeld            another writer holds the day's lease (transient)
    ├── WarehouseError
    │   ├── WarehouseUnavailable HiveServer2 does not answer in time (transient)
    │   ├── LoginFailed          HiveServer2 rejects the password (terminal)
    │   └── QueryFailed          Hive rejects the statement (terminal)
    ├── ForecastError
    │   ├── NoModel              nothing has been trained yet
    │   │   └── UnusableModel    the champion is of another release, damaged or gone; it counts as no model
    │   ├── NotEnoughHistory     too few closed minutes to train or to predict
    │   └── StaleData            no market is known up to the minute to predict from (transient)
    ├── CleanupFailed            Airflow could not clean its own database (transient)
    ├── StateUnavailable         a file of the state folder cannot be used: a full disk, another owner (transient)
    │   └── StateBusy            other processes used it all the time (transient)
    └── StackError               a service of the local stack cannot be started, reached or stopped
"""

from __future__ import annotations

from datetime import datetime


class UpbitEltError(Exception):
    """Base class of all errors of this project."""


class ConfigError(UpbitEltError):
    """A setting or an option is wrong; the message names it and says what is allowed."""


class DataTooNew(UpbitEltError):
    """A newer release has written data in a form that this one does not read; the message names the release."""


class BadFile(UpbitEltError):
    """A file given to the command `adopt` is not Parquet of candles; the message names it and what is wrong."""


class BackupFailed(UpbitEltError):
    """A backup cannot be made or restored; the message says why."""


class ExchangeError(UpbitEltError):
    """The exchange did not give a usable response."""


class ExchangeTerminal(ExchangeError):
    """Repeating the request gives the same error."""


class InvalidRequest(ExchangeTerminal):
    """A parameter is wrong: the request was not sent, or answered with 400."""


class UnknownMarket(ExchangeTerminal):
    """404: the market was never listed, or is delisted (its history is gone too)."""


class BadResponse(ExchangeTerminal):
    """Status 200 and JSON, but not of the documented form."""


class ExchangeTransient(ExchangeError):
    """Repeating the request later may work."""


class RateLimited(ExchangeTransient):
    """429: too many requests in this second."""


class Banned(ExchangeTransient):
    """418: this address is blocked. Nothing may be sent before `until` (UTC)."""

    def __init__(self, message: str, until: datetime) -> None:
        super().__init__(message)
        self.until = until


class ServerTrouble(ExchangeTransient):
    """5xx: the exchange is in trouble or in maintenance."""


class Garbled(ExchangeTransient):
    """Status 200, but the body is not JSON: it was cut on the way, or is a page of a proxy or of a maintenance."""


class Unreachable(ExchangeTransient):
    """No connection, a broken one, or no response within the timeout."""


class EndpointDown(ExchangeTransient):
    """The request was not sent, because the endpoint did not answer the requests before."""


class OutOfTime(ExchangeTransient):
    """The caller's time limit is reached: the request was not sent, or its response was not waited for.

    Also when the request's turn does not come because other processes do not let go of the rate limit's file.
    """


class LakeError(UpbitEltError):
    """An operation on the lake (HDFS over WebHDFS) failed."""


class LakeUnavailable(LakeError):
    """WebHDFS does not answer; try again later."""


class LakeConflict(LakeError):
    """The target exists and holds other rows; immutable files are never replaced."""


class LakeCorrupt(LakeError):
    """A file cannot be read as what it is to be: it is missing, damaged, or holds something else than its name says."""


class LakeTooNew(LakeError):
    """A file was written by a newer release of this program, which has to read it; the message names the file."""


class NotCollected(LakeError):
    """The lake does not know the requested market, minute or closed day; the message says which."""


class LeaseHeld(LakeError):
    """Another process holds the lease that the message names: of a day, or of all that is done of one kind."""


class WarehouseError(UpbitEltError):
    """An operation on Hive failed."""


class WarehouseUnavailable(WarehouseError):
    """HiveServer2 does not answer within the timeout."""


class LoginFailed(WarehouseError):
    """HiveServer2 does not know this user with this password."""


class QueryFailed(WarehouseError):
    """Hive rejected a statement or failed in it; the message contains Hive's own."""


class ForecastError(UpbitEltError):
    """No forecast can be made."""


class NoModel(ForecastError):
    """No model has been trained yet; run `train_forecast`."""


class UnusableModel(NoModel):
    """The champion cannot be read for the reason `why`. The next training replaces it as if there were none."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"no usable model: {why}; the next run of train_forecast replaces it, at 00:30 KST or when you trigger it"
        )
        self.why = why


class NotEnoughHistory(ForecastError):
    """There are too few closed minutes to train on or to predict from."""


class StaleData(ForecastError):
    """No market is collected up to the forecast's origin; the message says why."""


class CleanupFailed(UpbitEltError):
    """Airflow could not remove its old rows; the message contains Airflow's own."""


class StateUnavailable(UpbitEltError):
    """A file of the state folder cannot be read or written; the message says why. The next try may work."""


class StateBusy(StateUnavailable):
    """Other processes used a file of the state folder for as long as was waited."""


class StackError(UpbitEltError):
    """A service of the local stack cannot be started, reached or stopped; the message says what to do."""
