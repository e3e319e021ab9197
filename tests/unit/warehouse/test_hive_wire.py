"""Answers of HiveServer2 that are cut, spoilt or another program's: a typed error, whatever thrift makes of them."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from TCLIService import TCLIService, ttypes
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TTransport import TMemoryBuffer

from upbit_elt.errors import WarehouseError, WarehouseUnavailable
from upbit_elt.warehouse.hive import Hive

ROWS = [("KRW-BTC",), ("KRW-ETH",)]
DONE = ttypes.TStatus(ttypes.TStatusCode.SUCCESS_STATUS)
HANDLE = ttypes.THandleIdentifier(b"g" * 16, b"s" * 16)


class Service:
    """As much of HiveServer2 as a SELECT of one text column needs."""

    def __init__(self) -> None:
        self._left = [name for (name,) in ROWS]

    def OpenSession(self, _: Any) -> ttypes.TOpenSessionResp:
        session = ttypes.TSessionHandle(HANDLE)
        version = ttypes.TProtocolVersion.HIVE_CLI_SERVICE_PROTOCOL_V6
        return ttypes.TOpenSessionResp(status=DONE, serverProtocolVersion=version, sessionHandle=session)

    def ExecuteStatement(self, _: Any) -> ttypes.TExecuteStatementResp:
        operation = ttypes.TOperationHandle(HANDLE, ttypes.TOperationType.EXECUTE_STATEMENT, hasResultSet=True)
        return ttypes.TExecuteStatementResp(DONE, operation)

    def GetResultSetMetadata(self, _: Any) -> ttypes.TGetResultSetMetadataResp:
        kind = ttypes.TTypeEntry(primitiveEntry=ttypes.TPrimitiveTypeEntry(ttypes.TTypeId.STRING_TYPE))
        column = ttypes.TColumnDesc("name", ttypes.TTypeDesc([kind]), 1)
        return ttypes.TGetResultSetMetadataResp(DONE, ttypes.TTableSchema([column]))

    def FetchResults(self, _: Any) -> ttypes.TFetchResultsResp:
        names, self._left = self._left, []
        column = ttypes.TColumn(stringVal=ttypes.TStringColumn(names, b"\0"))
        return ttypes.TFetchResultsResp(DONE, False, ttypes.TRowSet(0, [], [column]))

    def CloseOperation(self, _: Any) -> ttypes.TCloseOperationResp:
        return ttypes.TCloseOperationResp(DONE)

    def CloseSession(self, _: Any) -> ttypes.TCloseSessionResp:
        return ttypes.TCloseSessionResp(DONE)


ANSWERS = 5  # open, execute, fetch, metadata, fetch: those that a query needs


class Server:
    """Hangs up after answer `spoilt` (from 0), which it sends as `damage` makes it; None spoils nothing."""

    def __init__(self, spoilt: int | None, damage: Any) -> None:
        self._spoilt, self._damage = spoilt, damage
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with self._socket.accept()[0] as connection, connection.makefile("rb") as lines:
            for _ in range(2):  # the mechanism, and user and password
                (length,) = struct.unpack(">xI", lines.read(5))
                lines.read(length)
            connection.sendall(struct.pack(">BI", 5, 0))
            processor, number = TCLIService.Processor(Service()), 0
            while header := lines.read(4):
                request, response = TMemoryBuffer(lines.read(struct.unpack(">I", header)[0])), TMemoryBuffer()
                processor.process(TBinaryProtocol(request), TBinaryProtocol(response))
                frame = struct.pack(">I", len(response.getvalue())) + response.getvalue()
                connection.sendall(self._damage(frame) if number == self._spoilt else frame)
                if number == self._spoilt:
                    return
                number += 1


@contextmanager
def hive(spoilt: int | None, damage: Any) -> Iterator[Hive]:
    server = Server(spoilt, damage)
    yield Hive("127.0.0.1", server.port, "me", "x", 5.0)
    server.close()


def test_complete_results_are_rows() -> None:
    with hive(None, None) as there:
        assert there.query("SELECT name FROM market") == ROWS


@pytest.mark.parametrize("number", range(ANSWERS))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_off_result_means_that_hive_is_away(number: int, share: float) -> None:
    def cut(frame: bytes) -> bytes:
        return frame[: int(share * len(frame))]

    with hive(number, cut) as there, pytest.raises(WarehouseUnavailable):
        there.query("SELECT name FROM market")


@pytest.mark.parametrize("number", range(ANSWERS))
@pytest.mark.parametrize("body", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, b"\xff" * 64])
def test_the_response_of_another_program_means_that_hive_is_away(number: int, body: bytes) -> None:
    with hive(number, lambda _: struct.pack(">I", len(body)) + body) as there, pytest.raises(WarehouseUnavailable):
        there.query("SELECT name FROM market")


@settings(max_examples=60, deadline=None)
@given(number=st.integers(0, ANSWERS - 1), place=st.floats(0, 0.999), byte=st.integers(1, 255))
def test_a_spoilt_byte_makes_no_other_error_than_ours(number: int, place: float, byte: int) -> None:
    def flip(frame: bytes) -> bytes:
        changed = bytearray(frame)
        changed[4 + int(place * (len(frame) - 4))] ^= byte
        return bytes(changed)

    with hive(number, flip) as there:
        try:
            there.query("SELECT name FROM market")
        except WarehouseError:
            return
