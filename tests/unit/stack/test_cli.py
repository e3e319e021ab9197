from __future__ import annotations

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock
from rich.console import Console
from rich.panel import Panel

from upbit_elt.errors import StackError
from upbit_elt.stack import phase, plan, secrets
from upbit_elt.stack.choice import Choice, RememberedChoice
from upbit_elt.stack.cli import main
from upbit_elt.stack.names import PORTS, REPO, variable
from upbit_elt.stack.options import StackSettings, load
from upbit_elt.stack.up import farewell, runs_on
from upbit_elt.terminal import console


@pytest.fixture
def data_dir(stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPBIT_RUN_DATA_DIR", str(stack.data_dir))
    return stack.data_dir


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def is_one_clear_line(result: Result, *words: str) -> bool:
    lines = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    return len(lines) == 1 and "Traceback" not in result.output and all(word in lines[0] for word in words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--exchange", "binance"], 2, "'binance' is not one of 'upbit', 'replica'"),
        (["--wrong"], 2, "--wrong"),
        (["restart"], 2, "restart"),
        (["--replay", "/nowhere"], 1, "no folder with *.parquet files"),
        (["status"], 1, "nothing has been started"),
        (["logs", "hive"], 1, "no log of 'hive'; there is: none yet"),
        (["logs"], 1, "which log? ./run logs NAME; there is: none yet"),
    ],
)
def test_bad_input(data_dir: Path, arguments: list[str], code: int, words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert is_one_clear_line(result, words)


def test_a_wrong_setting_of_the_application_is_one_line_too(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPBIT_ELT_WORKERS", "99")
    assert is_one_clear_line(run("doctor"), "UPBIT_ELT_WORKERS")


def test_a_full_disk_stops_the_start_before_anything_is_written(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPBIT_RUN_MIN_FREE_GB", "1e9")
    result = run("--exchange", "replica")
    assert result.exit_code == 1
    assert is_one_clear_line(result, "GB are free")


def test_status_of_a_stopped_stack_has_every_service_and_address(stack: StackSettings, data_dir: Path) -> None:
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    result = run("status", "--json")
    found = json.loads(result.output)
    assert result.exit_code == 1
    assert (found["exchange"], found["phase"]) == ("replica", "stopped")
    assert (found["covered_until"], found["markets"], found["candles_today"]) == (None, 0, 0)
    assert set(found["addresses"]) == {"airflow", "page", "hive", "webhdfs"}
    names = {service["name"] for service in found["services"]}
    assert names == {
        *("namenode", "datanode", "hiveserver2", "replica", "flask", "watchdog"),
        *("airflow-api-server", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    }
    assert not any(service["healthy"] or service["pid"] for service in found["services"])


def test_status_names_the_page_where_people_open_it(
    stack: StackSettings, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    assert json.loads(run("status", "--json").output)["addresses"]["page"] == "http://127.0.0.1:5000"
    monkeypatch.setenv("UPBIT_ELT_PAGE_URL", "https://upbit.example.com")
    assert json.loads(run("status", "--json").output)["addresses"]["page"] == "https://upbit.example.com"


def test_passwords_are_those_of_the_first_start(stack: StackSettings, data_dir: Path) -> None:
    assert is_one_clear_line(run("passwords"), "nothing has been started")
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    out = run("passwords").output
    assert f"user admin, password {secrets.load(data_dir / 'secrets.json').airflow_password}\n" in out
    assert out == run("passwords").output


def test_readme_shows_the_last_words_of_a_start(stack: StackSettings, data_dir: Path) -> None:
    file = io.StringIO()
    usual = load(data_dir=stack.data_dir, **PORTS)
    Console(file=file, width=120).print(farewell(usual, plan.make(usual, Choice("upbit", None))), highlight=False)
    assert "".join(f"    {line}\n" for line in file.getvalue().splitlines()) in (REPO / "README.md").read_text()


def test_help_names_every_setting_of_this_machine(data_dir: Path) -> None:
    out = run("--help").output
    for name in ("data_dir", "min_memory_gb", "port_offset", *PORTS):
        assert variable(name) in out
    assert "README.md, Settings" in out


def test_a_file_gets_whole_lines(data_dir: Path, stack: StackSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    with FileLock(phase.lock(stack)):
        rows = [line for line in run("status").output.splitlines() if "airflow-dag-processor" in line]
    assert len(rows) == 1  # its state beside it, of whatever length
    assert "not started" in rows[0]
    long = "one line " * 30
    with redirect_stdout(io.StringIO()) as file:
        console().print(Panel(long, expand=False))
    assert long.strip() in file.getvalue()


def test_exec_names_a_program_that_is_not_there(stack: StackSettings, data_dir: Path) -> None:
    RememberedChoice(exchange="replica", namenode_port=8020).save(stack)
    assert is_one_clear_line(run("exec", "nowhere-to-be-found"), "there is no program 'nowhere-to-be-found'")


def test_ctrl_c_says_what_runs_on_and_how_to_end_it() -> None:
    with pytest.raises(StackError, match=r"runs on: .*\./run status .*\./run stop ends it"), runs_on():
        raise KeyboardInterrupt


def test_stop_with_nothing_running(data_dir: Path) -> None:
    assert run("stop").output == "nothing was running\n"
