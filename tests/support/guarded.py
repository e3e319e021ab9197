"""A HiveServer2 with users and passwords, as docker compose starts it, on the NameNode of the test run."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from TCLIService import TCLIService
from TCLIService.ttypes import TOpenSessionReq, TProtocolVersion
from thrift.protocol.TBinaryProtocol import TBinaryProtocol
from thrift.transport.TSocket import TSocket
from thrift_sasl import TSaslClientTransport

from tests.support.machine import process, wait_until_healthy
from tests.support.ports import free_ports
from upbit_elt.settings import Settings
from upbit_elt.stack import environment, java, services
from upbit_elt.stack.names import REPO
from upbit_elt.stack.options import StackSettings
from upbit_elt.warehouse.hive import Hive

PASSWORDS = {"upbit": "writer-secret", "tableau": "reader-secret", "ann": "another-secret"}
USERS = ",".join(f"{user}:{password}" for user, password in PASSWORDS.items())


def readme_queries() -> list[str]:
    """What README lists for readers, in its words."""
    return [line.strip() for line in (REPO / "README.md").read_text().splitlines() if line.startswith("    SELECT ")]


@dataclass(frozen=True)
class GuardedHive:
    """Sessions of its users; `settings` are the pipeline's."""

    settings: Settings

    def user(self, name: str, password: str | None = None) -> Hive:
        """The server as a user sees it."""
        return Hive("127.0.0.1", self.settings.hive_port, name, password or PASSWORDS[name], 60)

    @contextmanager
    def driver(self, name: str, on_behalf_of: str | None = None) -> Iterator[TCLIService.Client]:
        """Hive's Thrift client, logged in, without a session: what ODBC and JDBC drivers are made of."""
        with _transport(self.settings.hive_port, name, on_behalf_of) as transport:
            yield TCLIService.Client(TBinaryProtocol(transport))


def open_session(client: TCLIService.Client, name: str, configuration: dict[str, str]) -> Any:
    """What OpenSession answers (its `status` may be a refusal)."""
    version = TProtocolVersion.HIVE_CLI_SERVICE_PROTOCOL_V10
    return client.OpenSession(TOpenSessionReq(client_protocol=version, username=name, configuration=configuration))


@contextmanager
def hiveserver2(stack: StackSettings, settings: Settings, variables: dict[str, str]) -> Iterator[int]:
    """A HiveServer2 on the folders and the port of `stack`, for the block; gives its process id."""
    *_, service = services.daemons(stack, settings)
    with process(service, stack, variables) as child:
        wait_until_healthy(service, stack)
        yield child.pid


def guarded_stack(stack: StackSettings, folder: Path) -> StackSettings:
    """`stack` with a HiveServer2 of its own: a data folder (and so a metastore), a port, and the classes of docker/."""
    jars = folder / "jars"
    (jars / "hive").mkdir(parents=True)
    (jars / "hadoop").symlink_to(stack.jars / "hadoop")
    for jar in (stack.jars / "hive").glob("*.jar"):
        (jars / "hive" / jar.name).symlink_to(jar)
    _compile(stack.jars / "hive", folder / "classes", jars / "hive" / "upbit-elt-auth.jar")
    (port,) = free_ports(1)
    return stack.model_copy(update={"data_dir": folder / "data", "jars_dir": jars, "hive_port": port})


def guarded_settings(stack: StackSettings, **given: object) -> Settings:
    """Settings of the pipeline's user."""
    return environment.settings_for(stack, base_url=stack.replica_url, hive_password=PASSWORDS["upbit"], **given)


def _compile(classpath: Path, classes: Path, jar: Path) -> None:
    sources = sorted((REPO / "docker" / "hadoop" / "auth").glob("*.java"))
    jdk("javac", "--release", "17", "-nowarn", "-cp", f"{classpath}/*", "-d", str(classes), *map(str, sources))
    jdk("jar", "--create", "--file", str(jar), "-C", str(classes), ".")


def jdk(name: str, *arguments: str, given: str = "") -> str:
    """What a program of the JDK printed, which must succeed; `given` is its standard input."""
    beside = java.java_home() / "bin" / name
    program = str(beside) if beside.exists() else shutil.which(name)
    assert program, f"{name} is missing: apt-get install default-jdk-headless"
    done = subprocess.run([program, *arguments], input=given, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@contextmanager
def _transport(port: int, user: str, on_behalf_of: str | None) -> Iterator[TSaslClientTransport]:
    socket = TSocket("127.0.0.1", port)
    socket.setTimeout(60_000)

    def sasl() -> object:
        return _Plain(user, PASSWORDS[user], on_behalf_of or "")

    transport = TSaslClientTransport(sasl, "PLAIN", socket)
    transport.open()
    try:
        yield transport
    finally:
        transport.close()


@dataclass
class _Plain:
    """SASL PLAIN by hand, as libraries do not say that one user logs in on behalf of another."""

    user: str
    password: str
    on_behalf_of: str
    complete: bool = False

    def start(self, _: str) -> tuple[bool, str, bytes]:
        self.complete = True
        return True, "PLAIN", f"{self.on_behalf_of}\0{self.user}\0{self.password}".encode()

    def encode(self, data: bytes) -> tuple[bool, bytes]:
        return True, data

    def decode(self, data: bytes) -> tuple[bool, bytes]:
        return True, data
