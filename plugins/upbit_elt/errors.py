"""Every exception this project raises on purpose.

Terminal errors will fail again when tried again; transient ones may pass.

    UpbitEltError
    ├── ConfigError              a setting or option is wrong (terminal)
    ├── DataTooNew               a newer release wrote what is there, and this one does not read it (terminal)
    ├── BadFile                  a file that was given to adopt is not what it should be (terminal)
    ├── ExchangeError
    │   ├── ExchangeTerminal
    │   │   ├── InvalidRequest   refused before sending, or 400
    │   │   ├── UnknownMarket    404: never listed, or delisted
    │   │   └── BadResponse      200 with a body that is not what was asked for
    │   └── ExchangeTransient
    │       ├── RateLimited      429
    │       ├── Banned           418, or a ban another process was told of; carries its end
    │       ├── ServerTrouble    5xx
    │       ├── Garbled          200 with a body that is no JSON: cut, or a page of some proxy
    │       ├── Unreachable      no connection, or no answer in time
    │       ├── EndpointDown     not asked: the endpoint has not answered anybody lately
    │       └── OutOfTime        the time that the caller had for it is over
    ├── LakeError
    │   ├── LakeUnavailable      WebHDFS does not answer (transient)
    │   ├── LakeConflict         a file of this name holds other rows (terminal)
    │   ├── LakeCorrupt          a file cannot be read as what its name says (terminal)
    │   ├── LakeTooNew           a file was written by a newer release (terminal)
    │   ├── NotCollected         the lake does not know the market, the minute or the day
    │   └── LeaseHeld            another writer has the day (transient)
    ├── WarehouseError
    │   ├── WarehouseUnavailable HiveServer2 does not answer in time (transient)
    │   ├── LoginRefused         HiveServer2 does not take the password (terminal)
    │   └── QueryFailed          Hive refused the statement (terminal)
    ├── ForecastError
    │   ├── NoModel              nothing has been trained yet
    │   │   └── UnusableModel    the champion is of another release, damaged or gone: it counts as none
    │   ├── NotEnoughHistory     too few closed minutes to train or to predict
    │   └── StaleData            no market is known up to the minute to predict from (transient)
    ├── CleanupFailed            Airflow could not clean its own database (transient)
    ├── StateUnavailable         the file of the rate limit cannot be written: a full disk (transient)
    └── StackError               a service of the local stack cannot be started, reached or stopped
"""

from __future__ import annotations

from datetime import datetime


class UpbitEltError(Exception):
    """Base of all errors of this project."""


class ConfigError(UpbitEltError):
    """A setting or an option is wrong; the message names it and says what is allowed."""


class DataTooNew(UpbitEltError):
    """A newer release has written in a form that this one does not read; the message says which."""


class BadFile(UpbitEltError):
    """A file given to be taken over is not Parquet of candles; the message names it and what is wrong."""


class ExchangeError(UpbitEltError):
    """The exchange did not give a usable answer."""


class ExchangeTerminal(ExchangeError):
    """Asking again gives the same error."""


class InvalidRequest(ExchangeTerminal):
    """A parameter is wrong: refused before sending, or answered with 400."""


class UnknownMarket(ExchangeTerminal):
    """404: the market was never listed, or is delisted (its history is gone too)."""


class BadResponse(ExchangeTerminal):
    """Status 200 and JSON, but not of the documented form."""


class ExchangeTransient(ExchangeError):
    """Asking again later may work."""


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
    """Status 200, but the body is not JSON: cut on the way, or the page of a proxy or of a maintenance."""


class Unreachable(ExchangeTransient):
    """No connection, a cut one, or no answer within the timeout."""


class EndpointDown(ExchangeTransient):
    """Nothing was sent, since the endpoint did not answer the requests before."""


class OutOfTime(ExchangeTransient):
    """The time that the caller had is over: nothing was sent, or the answer was not waited for."""


class LakeError(UpbitEltError):
    """The lake (HDFS over WebHDFS) did not do what was asked."""


class LakeUnavailable(LakeError):
    """WebHDFS does not answer; try again later."""


class LakeConflict(LakeError):
    """The target exists and holds other rows; immutable files are never replaced."""


class LakeCorrupt(LakeError):
    """A file's content does not match its name or its footer."""


class LakeTooNew(LakeError):
    """A file was written by a newer release of this program, which has to read it; the message names the file."""


class NotCollected(LakeError):
    """The lake does not know what was asked for: the market, the minute or a closed day; the message says which."""


class LeaseHeld(LakeError):
    """Another writer has this day; try again when its lease ends."""


class WarehouseError(UpbitEltError):
    """Hive did not do what was asked."""


class WarehouseUnavailable(WarehouseError):
    """HiveServer2 does not answer within the timeout."""


class LoginRefused(WarehouseError):
    """HiveServer2 does not know this user with this password."""


class QueryFailed(WarehouseError):
    """Hive refused or failed a statement; the message carries Hive's own words."""


class ForecastError(UpbitEltError):
    """No forecast can be made."""


class NoModel(ForecastError):
    """No model has been trained yet; run `train_forecast`."""


class UnusableModel(NoModel):
    """The champion cannot be read, `why` says the reason. The next training counts it as none and replaces it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"no usable model: {why}; the next run of train_forecast replaces it, at 00:30 KST or when you trigger it"
        )
        self.why = why


class NotEnoughHistory(ForecastError):
    """There are too few closed minutes to train on or to predict from."""


class StaleData(ForecastError):
    """No market is accounted for up to the minute that a forecast would begin at; the message says why."""


class CleanupFailed(UpbitEltError):
    """Airflow could not remove its old rows; the message has its own words."""


class StateUnavailable(UpbitEltError):
    """The file of the rate limit cannot be written: the disk is full, or a process holds it. Nothing was sent."""


class StackError(UpbitEltError):
    """A service of the local stack cannot be started, reached or stopped; the message says what to do."""
