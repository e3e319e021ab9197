"""Runs statements on HiveServer2, each with a timeout: with a wrong authentication mode, Hive would never answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from struct import error as StructError
from typing import Any, Protocol

from pyhive import exc, hive
from thrift.Thrift import TException
from thrift.transport.TSocket import TSocket
from thrift_sasl import TSaslClientTransport

from upbit_elt.errors import LoginFailed, QueryFailed, WarehouseUnavailable
from upbit_elt.metrics import HIVE_SECONDS, measured
from upbit_elt.settings import Settings

# What thrift and PyHive raise on a response that is cut, damaged or another program's: they do not check it.
_SPOILT = (
    StructError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    OverflowError,
    MemoryError,
    EOFError,
    exc.Error,
)
_AWAY = (TException, OSError, *_SPOILT)


class Statements(Protocol):
    """Runs statements: a Session, or Hive itself, which opens a session for each call."""

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a SELECT or SHOW; `%(name)s` in the statement takes its value, quoted, from `parameters`."""

    def execute(self, *statements: str) -> None:
        """Run statements that return nothing, in order."""


class Session:
    """An open session of HiveServer2: one connection and one login for any number of statements, one at a time.

    Every method raises WarehouseUnavailable when Hive does not answer within the timeout, after which the session
    cannot be used, and QueryFailed when Hive rejects a statement; then it can.
    """

    def __init__(self, cursor: Any, unavailable: Callable[[Exception], WarehouseUnavailable]) -> None:
        self._cursor, self._unavailable = cursor, unavailable
        self.lost = False

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a SELECT or SHOW; `%(name)s` in the statement takes its value, quoted, from `parameters`."""
        with self._errors("query"):
            self._cursor.execute(sql, parameters)
            return list(self._cursor.fetchall())

    def execute(self, *statements: str) -> None:
        """Run statements that return nothing, in order."""
        for sql in statements:
            with self._errors("execute"):
                self._cursor.execute(sql)

    @contextmanager
    def _errors(self, operation: str) -> Iterator[None]:
        with measured(HIVE_SECONDS, operation=operation), self._translated():
            yield

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except exc.OperationalError as error:
            raise QueryFailed(_words(error)) from error
        except _AWAY as error:
            self.lost = True
            raise self._unavailable(error) from error


class Hive:
    """A HiveServer2 with SASL PLAIN (its modes NONE, LDAP and CUSTOM); `timeout` in seconds.

    It is thread-safe, as each call opens a session. Every method raises WarehouseUnavailable when Hive does not answer
    within the timeout, LoginFailed when the password is wrong, and QueryFailed when Hive rejects a statement.
    """

    def __init__(self, host: str, port: int, user: str, password: str, timeout: float) -> None:
        self.host, self.port, self.user = host, port, user
        self._password = password
        self._timeout = timeout

    @classmethod
    def from_settings(cls, settings: Settings) -> Hive:
        """The HiveServer2 that the settings name."""
        password = settings.hive_password.get_secret_value()
        return cls(settings.hive_host, settings.hive_port, settings.hive_user, password, settings.hive_timeout)

    @contextmanager
    def session(self) -> Iterator[Statements]:
        """Open a session for the block; it costs more than a statement, so several statements should share one."""
        with closing(self._transport()) as transport:
            with measured(HIVE_SECONDS, operation="session"):
                connection = self._connect(transport)
            session = Session(connection.cursor(arraysize=10_000), self._unavailable)
            try:
                yield session
            finally:
                # After a timeout the session is not closed properly: the next response read from this socket would be
                # the late one to that statement. The server ends the session when the socket is closed.
                if not session.lost:
                    self._end_session(connection)

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a SELECT or SHOW, in a session of its own; see Session.query."""
        with self.session() as session:
            return session.query(sql, parameters)

    def execute(self, *statements: str) -> None:
        """Run statements that return nothing, in order, in a session of their own."""
        with self.session() as session:
            session.execute(*statements)

    def _transport(self) -> Any:
        socket = TSocket(self.host, self.port)
        socket.setTimeout(self._timeout * 1000)
        return TSaslClientTransport(self._sasl, "PLAIN", socket)

    def _connect(self, transport: Any) -> Any:
        try:
            return hive.Connection(thrift_transport=transport, username=self.user)
        except _AWAY as error:
            if "validating the login" in str(error):
                raise LoginFailed(
                    f"HiveServer2 at {self.host}:{self.port} refuses the password of user {self.user}: see "
                    "UPBIT_ELT_HIVE_USER and UPBIT_ELT_HIVE_PASSWORD, or the Connection upbit_hive"
                ) from error
            raise self._unavailable(error) from error

    def _end_session(self, connection: Any) -> None:
        try:
            connection.close()
        except _AWAY:
            # All statements have their results, and the server ends the session itself.
            return

    def _sasl(self) -> Any:
        return hive.get_installed_sasl(host=self.host, sasl_auth="PLAIN", username=self.user, password=self._password)

    def _unavailable(self, error: Exception) -> WarehouseUnavailable:
        return WarehouseUnavailable(
            f"HiveServer2 at {self.host}:{self.port} does not answer (timeout {self._timeout:.0f} s, "
            f"{type(error).__name__}: {error}). Is it up, and is its authentication NONE, LDAP or CUSTOM?"
        )


def _words(error: Exception) -> str:
    """Hive's own message in the Thrift response that PyHive puts into its error."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error)
