"""Statements on HiveServer2, each with a timeout: a wrong authentication mode hangs without a word."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from struct import error as StructError
from typing import Any, Protocol

from pyhive import exc, hive
from thrift.Thrift import TException
from thrift.transport.TSocket import TSocket
from thrift_sasl import TSaslClientTransport

from upbit_elt.errors import LoginRefused, QueryFailed, WarehouseUnavailable
from upbit_elt.metrics import HIVE_SECONDS, measured
from upbit_elt.settings import Settings

# What thrift and PyHive stumble over when an answer is cut or spoilt, or another program's: they check nothing.
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
    """Whatever runs statements: a Session, or Hive itself with a session for each call."""

    def query(self, sql: str, parameters: Mapping[str, object] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a SELECT or SHOW; `%(name)s` in the statement takes its value, quoted, from `parameters`."""

    def execute(self, *statements: str) -> None:
        """Run statements that return nothing, in order."""


class Session:
    """An open session of HiveServer2: one connection and one login for any number of statements, one at a time.

    Every method raises WarehouseUnavailable when no answer comes within the timeout: the session is of no use any
    more then. QueryFailed when Hive refuses a statement: the session goes on.
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
    """HiveServer2 with SASL PLAIN (its modes NONE, LDAP and CUSTOM). Thread-safe: a session a call.

    Every method raises WarehouseUnavailable when no answer comes within the timeout, LoginRefused when the password
    is wrong, and QueryFailed when Hive refuses a statement.
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
        """A session for the block. Opening one costs more than a statement: whoever has several takes one."""
        with closing(self._transport()) as transport:
            with measured(HIVE_SECONDS, operation="session"):
                connection = self._connect(transport)
            session = Session(connection.cursor(arraysize=10_000), self._unavailable)
            try:
                yield session
            finally:
                # After a lost answer no goodbye: what is read next on this socket would be the late answer to that
                # very statement. The server ends the session itself once the socket is closed.
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
                raise LoginRefused(
                    f"HiveServer2 at {self.host}:{self.port} refuses the password of user {self.user}: see "
                    "UPBIT_ELT_HIVE_USER and UPBIT_ELT_HIVE_PASSWORD, or the Connection upbit_hive"
                ) from error
            raise self._unavailable(error) from error

    def _end_session(self, connection: Any) -> None:
        try:
            connection.close()
        except _AWAY:
            # The statement has had its answer, and the server ends the session itself.
            return

    def _sasl(self) -> Any:
        return hive.get_installed_sasl(host=self.host, sasl_auth="PLAIN", username=self.user, password=self._password)

    def _unavailable(self, error: Exception) -> WarehouseUnavailable:
        return WarehouseUnavailable(
            f"HiveServer2 at {self.host}:{self.port} does not answer (timeout {self._timeout:.0f} s, "
            f"{type(error).__name__}: {error}). Is it up, and is its authentication NONE, LDAP or CUSTOM?"
        )


def _words(error: Exception) -> str:
    """Hive's own message out of the Thrift answer that PyHive raises with."""
    status = getattr(error.args[0], "status", None) if error.args else None
    return str(getattr(status, "errorMessage", None) or error)
