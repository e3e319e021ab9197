"""What each user tries at each port that docker compose publishes, and what comes of it (docs/security.md).

A walk is a list of attempts: who, what, whether it is to be let in, and the request itself, which gives None when it
was done and the words of the refusal otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import requests

from tests.support.compose import Deployment
from tests.support.guarded import readme_queries
from upbit_elt.errors import LoginFailed, QueryFailed
from upbit_elt.settings import Settings
from upbit_elt.warehouse import tables
from upbit_elt.warehouse.hive import Hive

HEADER = {"X-XSRF-HEADER": "walk"}  # what a web page cannot send
REFUSED = (400, 401, 403, 421)
CANDLES, HDFS = "/replica/candle", "hdfs://namenode:8020"
Act = Callable[[], str | None]


@dataclass(frozen=True)
class Attempt:
    """One thing that a user tries; `needed` is what has to work, all else has to be refused."""

    user: str
    what: str
    act: Act
    needed: bool = False


def published(deployment: Deployment) -> dict[str, tuple[str, int]]:
    """Address and port on this machine of every service that publishes one, with all profiles: what compose says."""
    said = json.loads(deployment.compose("--profile", "*", "config", "--format", "json"))
    ports = {name: service["ports"] for name, service in said["services"].items() if service.get("ports")}
    assert all(len(of_one) == 1 for of_one in ports.values()), ports
    return {name: (port["host_ip"], int(port["published"])) for name, (port,) in ports.items()}


def table(tried: list[tuple[str, Attempt, str | None]]) -> list[str]:
    """A line for each port and user with what came of all attempts, then each attempt with its refusal."""
    of_one: dict[tuple[str, str], list[str | None]] = {}
    for port, attempt, refusal in tried:
        of_one.setdefault((port, attempt.user), []).append(refusal)
    sums = [
        f"{port:18} {user:8} {len(came) - came.count(None):3} refused, {came.count(None):2} needed and done"
        for (port, user), came in of_one.items()
    ]
    rows = [f"{port:18} {each.user:8} {each.what}: {refusal or 'done'}"[:190] for port, each, refusal in tried]
    return [*sums, *rows]


def page(deployment: Deployment, at: str) -> Iterator[Attempt]:
    """Flask: everybody reads; what writes wants the service's token, and a page of another site gets nothing."""
    for user, login in logins(deployment).items():
        for path in ("forecasts", "troubles"):
            yield Attempt(user, f"POST {path} without token", http("POST", f"{at}/api/v1/{path}", auth=login))
        for path in ("api/v1/status", "extract/upbit.hyper", ""):
            cross = {"Sec-Fetch-Site": "cross-site"}
            yield Attempt(
                user, f"another site's page requests /{path}", http("GET", f"{at}/{path}", auth=login, headers=cross)
            )
        yield Attempt(user, "reads /api/v1/status", http("GET", f"{at}/api/v1/status", auth=login), needed=True)
    yield Attempt(
        "nobody", "POST forecasts, wrong token", http("POST", f"{at}/api/v1/forecasts", headers=bearer("wrong"))
    )
    yield Attempt("nobody", "requests under another name", http("GET", at, headers={"Host": "evil.example"}))


def airflow(deployment: Deployment, at: str) -> Iterator[Attempt]:
    """Airflow: nothing without its own login, which users of Hive do not have."""
    run = f"{at}/api/v2/dags/min_candle/dagRuns"
    for user, login in logins(deployment).items():
        for method, url, body in (
            ("GET", f"{at}/api/v2/dags", None),
            ("GET", f"{at}/api/v2/connections", None),
            ("GET", f"{at}/api/v2/variables", None),
            ("POST", run, {"logical_date": None}),
            ("PATCH", f"{at}/api/v2/dags/min_candle", {"is_paused": True}),
        ):
            what = f"{method} {url.removeprefix(at)}"
            yield Attempt(user, f"{what} without login", http(method, url, auth=login, json=body))
        if login:
            given = dict(zip(("username", "password"), login, strict=True))
            yield Attempt(user, "logs in with Hive's password", http("POST", f"{at}/auth/token", json=given))
    known = {"username": "admin", "password": deployment.settings()["AIRFLOW_ADMIN_PASSWORD"]}
    yield Attempt("admin", "logs in", http("POST", f"{at}/auth/token", json=known), needed=True)


def webhdfs(_: Deployment, at: str) -> Iterator[Attempt]:
    """The NameNode believes names, so permissions hold for those that say theirs; a web page changes nothing at all."""
    for user in ("nobody", "tableau", "upbit", "hdfs"):
        name = "" if user == "nobody" else f"&user.name={user}"
        for method, below, change in CHANGES:
            url, what = f"{at}/webhdfs/v1{CANDLES}{below}?op={change}{name}", f"{method} {change.split('&')[0]}"
            yield Attempt(user, f"{what}, as a web page could", http(method, url))
            # these two it only sends on to a DataNode, which checks whether it may
            if user in ("nobody", "tableau") and not change.startswith(("CREATE", "APPEND")):
                yield Attempt(user, f"{what} of the candles", http(method, url, headers=HEADER))


def webhdfs_data(deployment: Deployment, at: str) -> Iterator[Attempt]:
    """The DataNode writes for whom the NameNode lets."""
    place = "namenoderpcaddress=namenode:8020"
    stored = a_file_of(deployment)
    for user in ("nobody", "tableau", "upbit", "hdfs"):
        name = "" if user == "nobody" else f"&user.name={user}"
        for method, path, change in (
            ("PUT", f"{CANDLES}/evil", "CREATE"),
            ("PUT", stored, "CREATE&overwrite=true"),
            ("POST", stored, "APPEND"),
        ):
            url = f"{at}/webhdfs/v1{path}?op={change}&{place}{name}"
            what = f"{method} {change.replace('&overwrite=true', ' over a file')}"
            yield Attempt(user, f"{what}, as a web page could", http(method, url))
            if user in ("nobody", "tableau"):
                yield Attempt(user, f"{what} of the candles", http(method, url, headers=HEADER))


def yarn(_: Deployment, at: str) -> Iterator[Attempt]:
    """The ResourceManager takes no work over HTTP, whoever one says one is, and shows what runs."""
    apps = f"{at}/ws/v1/cluster/apps"
    for user in ("nobody", "tableau", "upbit", "hive", "yarn"):
        name = "" if user == "nobody" else f"?user.name={user}"
        yield Attempt(user, "requests an application", http("POST", f"{apps}/new-application{name}", headers=HEADER))
        yield Attempt(user, "the same, as a web page could", http("POST", f"{apps}/new-application{name}"))
        work = {"application-id": "application_1_0001", "am-container-spec": {"commands": {"command": "id"}}}
        yield Attempt(user, "submits a command", http("POST", f"{apps}{name}", headers=HEADER, json=work))
    yield Attempt("nobody", "looks", http("GET", f"{at}/ws/v1/cluster/info", headers=HEADER), needed=True)


def hive(deployment: Deployment, _: str) -> Iterator[Attempt]:
    """HiveServer2: passwords, then what each user's statements may do. All: tests/integration/test_hive_users.py."""
    known = deployment.settings()
    reader, writer = known["HIVE_READER_PASSWORD"], known["HIVE_PASSWORD"]
    for user, password in (
        ("nobody", reader),
        ("nobody", ""),
        ("tableau", "wrong"),
        ("tableau", writer),
        ("upbit", reader),
    ):
        yield Attempt(user, "logs in, wrong password", statement(deployment.hive(user, password or "x"), "SELECT 1"))
    tableau, upbit = deployment.hive("tableau", reader), deployment.hive()
    for sql in OUT_OF_SQL:
        yield Attempt("tableau", sql, statement(tableau, sql))
        yield Attempt("upbit", sql, statement(upbit, sql))
    for sql in READERS_NOT:
        yield Attempt("tableau", sql, statement(tableau, sql))
    secrets = [
        value for name, value in known.items() if name.endswith(("PASSWORD", "SECRET", "KEY", "TOKEN")) and value
    ]
    yield Attempt("tableau", "finds a password in SET -v", finds(tableau, "SET -v", secrets))
    replica = Settings(dataset="replica", base_url="http://replica:8765", hdfs_uri=HDFS)
    with upbit.session() as session:
        # no day has been compared or scored yet, and the view comes with the first one that is
        tables.ensure_view(session, replica, "reconciliation")
        tables.ensure_view(session, replica, "score")
    for sql in (*readme_queries(), "CREATE TEMPORARY TABLE mine AS SELECT market FROM upbit_bi.candle LIMIT 3"):
        given = sql.replace("upbit_bi.", "upbit_bi_replica.")
        yield Attempt("tableau", sql, statement(tableau, given), needed=True)
    made = ("CREATE DATABASE walk", "DROP DATABASE walk")
    yield Attempt("upbit", "; ".join(made), statement(upbit, *made), needed=True)


WALKS: dict[str, Callable[[Deployment, str], Iterator[Attempt]]] = {
    "flask": page,
    "airflow-apiserver": airflow,
    "hiveserver2": hive,
    "webhdfs": webhdfs,
    "webhdfs-data": webhdfs_data,
    "yarn": yarn,
}
CHANGES = (
    ("PUT", "/evil", "CREATE"),
    ("PUT", "/evil", "MKDIRS"),
    ("PUT", "", "RENAME&destination=/tmp/evil"),
    ("PUT", "", "SETPERMISSION&permission=777"),
    ("PUT", "", "SETOWNER&owner=tableau"),
    ("POST", "", "APPEND"),
    ("POST", "", "TRUNCATE&newlength=0"),
    ("DELETE", "", "DELETE&recursive=true"),
)
OUT_OF_SQL = (
    "SELECT reflect('java.lang.System', 'getenv', 'STACK_HIVE_USERS')",
    "SELECT java_method('java.lang.System', 'getenv', 'PATH')",
    "SELECT TRANSFORM(1) USING 'cat' AS (x)",
    "dfs -ls /",
    "add jar /tmp/x.jar",
    "SET system:user.name=hdfs",
    "SET hive.tez.java.opts=-Xmx1g",
    "SET hive.query.timeout.seconds=0",
)
READERS_NOT = (
    "CREATE DATABASE evil",
    "DROP TABLE upbit_lake_replica.candle",
    "DROP VIEW upbit_bi_replica.candle",
    "INSERT INTO upbit_lake_replica.candle SELECT * FROM upbit_lake_replica.candle",
    "CREATE EXTERNAL TABLE default.evil (line STRING) LOCATION 'hdfs://namenode:8020/replica'",
    "CREATE TEMPORARY TABLE evil (line STRING) STORED AS AVRO",
    "GRANT SELECT ON upbit_lake_replica.candle TO USER nobody",
    "SET ROLE ADMIN",
)


def logins(deployment: Deployment) -> dict[str, tuple[str, str] | None]:
    """The users of the walk, and what they know: their password of Hive."""
    known = deployment.settings()
    return {
        "nobody": None,
        "tableau": ("tableau", known["HIVE_READER_PASSWORD"]),
        "upbit": ("upbit", known["HIVE_PASSWORD"]),
    }


def bearer(token: str) -> dict[str, str]:
    """The header with a token."""
    return {"Authorization": f"Bearer {token}"}


def http(
    method: str,
    url: str,
    *,
    auth: tuple[str, str] | None = None,
    headers: dict[str, str] | None = None,
    json: object = None,
) -> Act:
    """A request; it is done or refused, and a redirect counts as done. What went wrong otherwise is neither."""

    def act() -> str | None:
        response = requests.request(
            method, url, auth=auth, headers=headers, json=json, timeout=60, allow_redirects=False
        )
        assert response.status_code < 400 or response.status_code in REFUSED, f"{method} {url}: {response.text[:500]}"
        return None if response.status_code < 400 else f"{response.status_code} {reason(response)}"

    return act


def reason(response: requests.Response) -> str:
    """The words of a refusal, short: of Hadoop, Flask or Airflow, or of the status line where there is but a page."""
    try:
        said = response.json()
    except requests.JSONDecodeError:
        said = {"message": "" if "<html" in response.text.lower() else response.text}
    said = said.get("RemoteException", said)
    words = said.get("message") or said.get("title") or said.get("detail") or response.reason
    return str(words).strip().splitlines()[0]


def a_file_of(deployment: Deployment) -> str:
    """Path in HDFS of a file of candles."""
    ((uri,),) = deployment.hive().query("SELECT INPUT__FILE__NAME FROM upbit_lake_replica.candle LIMIT 1")
    return str(urlsplit(uri).path)


def statement(hive: Hive, *statements: str) -> Act:
    """Statements in a session of their own."""

    def act() -> str | None:
        try:
            hive.execute(*statements)
        except (QueryFailed, LoginFailed) as error:
            return str(error).removeprefix("Error while compiling statement: FAILED: ").splitlines()[0]
        return None

    return act


def finds(hive: Hive, sql: str, secrets: list[str]) -> Act:
    """A search for any of the secrets in what a statement gives."""

    def act() -> str | None:
        lines = [str(line) for line in hive.query(sql)]
        return None if any(secret in line for line in lines for secret in secrets) else f"none in {len(lines)} lines"

    return act
