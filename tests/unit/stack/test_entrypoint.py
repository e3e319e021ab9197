"""The entrypoint with a Java that only writes down how it was called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest

from tests.unit.stack.conftest import program
from upbit_elt.stack.polling import becomes_true
from upbit_elt.stack.services import ENTRYPOINT

# what NameNode -format does to the folder that the configuration names
JAVA = """
echo "$*" >>"$CALLS"
case "$*" in *-format*)
  mkdir -p "$STACK_NAME_DIR/current"
  touch "$STACK_NAME_DIR/current/VERSION"
  exit ${FORMAT_EXIT:-0} ;;
*SecondaryNameNode*)
  [ -z "${MERGED:-}" ] || touch "$STACK_NAME_DIR/current/$MERGED"
  exit ${MERGE_EXIT:-0} ;;
*NameNode) # works until its log says that somebody has merged, or so many seconds
  look='until grep -q journal "$SAID"; do sleep 0.1; done'
  [ -z "${STACK_MERGE_LOOK:-}" ] || timeout "${NAMENODE_SECONDS:-60}" sh -c "$look" || true ;;
esac
"""


class World:
    def __init__(self, folder: Path) -> None:
        self.data, self.calls, self.home = folder / "data", folder / "calls", folder / "java"
        self.said = folder / "said"
        self.names, self.blocks = self.data / "hdfs" / "name", self.data / "hdfs" / "blocks"
        program(self.home / "bin" / "java", JAVA)

    def start(self, daemon: str, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {"JAVA_HOME": str(self.home), "CALLS": str(self.calls), "STACK_DATA_DIR": str(self.data)}
        environment = {"PATH": os.environ["PATH"], "SAID": str(self.said), **own, **variables}
        with self.said.open("w+") as said:
            done = subprocess.run(
                [ENTRYPOINT, daemon], env=environment, stdout=PIPE, stderr=said, text=True, check=False
            )
        done.stderr = self.said.read_text()
        return done

    def java(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_first_start_formats_and_the_second_does_not(world: World) -> None:
    for _ in range(2):
        assert world.start("namenode").returncode == 0
    assert ["-format" in call for call in world.java()] == [True, False, False]
    assert (world.names / "current" / "VERSION").exists()


@pytest.mark.parametrize(
    ("code", "merged", "words"),
    [
        ("0", "fsimage_0000000000000000043", "the journal is in a new image"),
        ("1", "", "next try in an hour"),
        ("0", "", "next try in an hour"),  # the NameNode has not taken it
    ],
)
def test_the_journal_goes_into_an_image_that_is_older_than_a_day(
    world: World, code: str, merged: str, words: str
) -> None:
    """The NameNode runs on meanwhile; what merges holds nothing that would keep its end from being seen."""
    current = world.names / "current"
    current.mkdir(parents=True)
    image = current / "fsimage_0000000000000000042"
    image.touch()
    os.utime(image, (0, 0))
    done = world.start("namenode", STACK_MERGE_LOOK="0.2", MERGE_EXIT=code, MERGED=merged)
    assert next(call for call in world.java() if "Secondary" in call).endswith(" -checkpoint force")
    assert words in done.stderr


def test_an_image_of_today_is_left_as_it_is(world: World) -> None:
    current = world.names / "current"
    current.mkdir(parents=True)
    (current / "fsimage_0000000000000000042").touch()
    world.start("namenode", STACK_MERGE_LOOK="0.2", NAMENODE_SECONDS="1")
    assert len(world.java()) == 1


def test_a_folder_that_holds_anything_is_never_formatted(world: World) -> None:
    world.names.mkdir(parents=True)
    (world.names / "unknown").touch()
    world.start("namenode")
    assert not any("-format" in call for call in world.java())
    assert [path.name for path in world.names.iterdir()] == ["unknown"]


def test_a_format_that_failed_halfway_leaves_nothing_and_is_done_again(world: World) -> None:
    assert world.start("namenode", FORMAT_EXIT="1").returncode != 0
    assert not world.names.exists()
    assert world.start("namenode").returncode == 0
    assert (world.names / "current" / "VERSION").exists()


def test_blocks_without_names_are_not_formatted_away(world: World) -> None:
    world.blocks.mkdir(parents=True)
    (world.blocks / "current").mkdir()
    done = world.start("namenode")
    assert done.returncode == 1
    assert "restore the name folder" in done.stderr
    assert world.java() == []


@pytest.mark.parametrize(
    ("daemon", "main", "jars"),
    [
        ("datanode", "DataNode", "hadoop"),
        ("hiveserver2", "HiveServer2", "hive"),
        ("metastore", "HiveMetaStore", "hive"),
    ],
)
def test_each_daemon_has_its_main_class_jars_and_heap(world: World, daemon: str, main: str, jars: str) -> None:
    assert world.start(daemon, STACK_HEAP="123m", STACK_JARS_DIR="/jars").returncode == 0
    (call,) = world.java()
    assert call.split(" -p ")[0].endswith(main)
    assert f"/jars/{jars}/*" in call
    assert "-Xmx123m" in call
    assert "--add-opens=java.base/java.net=ALL-UNNAMED" in call


def test_unknown_daemon_or_database(world: World) -> None:
    assert world.start("zookeeper").returncode == 2
    wrong = world.start("metastore", STACK_METASTORE_DB_URL="jdbc:oracle:thin")
    assert (wrong.returncode, "only Derby and PostgreSQL" in wrong.stderr) == (2, True)


def test_two_datanodes_on_one_volume_take_a_folder_each(world: World) -> None:
    holding = "echo $STACK_BLOCK_DIR >>$CALLS; [ ! -e $FIRST ] || exit 0; touch $FIRST; $ENTRYPOINT datanode"
    program(world.home / "bin" / "java", holding)  # the first, while it runs, starts the second
    first = world.data.parent / "first"
    for _ in range(2):  # the same folders again after a restart
        first.unlink(missing_ok=True)
        second = f"env -u STACK_BLOCK_DIR {ENTRYPOINT}"
        done = world.start("datanode", STACK_SLOTS="true", FIRST=str(first), ENTRYPOINT=second)
        assert done.returncode == 0, done.stderr
    blocks = str(world.blocks)
    assert world.java() == [f"{blocks}/1", f"{blocks}/2"] * 2


def test_a_metastore_whose_tables_do_not_fit_does_not_start(world: World) -> None:
    program(
        world.home / "bin" / "java",
        'echo "$*" >>"$CALLS"; case "$*" in *SchemaTool*) echo "no column X"; exit 1 ;; esac',
    )
    url = "jdbc:postgresql://db/hive"
    done = world.start("metastore", STACK_METASTORE_DB_URL=url, STACK_METASTORE_DB_PASSWORD="secret-word")
    assert done.returncode == 1
    assert "no column X" in done.stderr
    assert "the metastore's tables are not those of this Hive" in done.stderr
    assert not any("HiveMetaStore" in call or "secret-word" in call for call in world.java())
    assert (world.data / "tmp" / "schema.properties").stat().st_mode & 0o777 == 0o600


def test_hive_gets_its_users_in_a_file_and_no_password_in_its_environment(world: World) -> None:
    """Its environment is what every user of Hive may list."""
    program(world.home / "bin" / "java", "env >>$CALLS; echo $* >>$CALLS")
    users = "upbit:secret-word,tableau:a:b"
    assert world.start("hiveserver2", STACK_HIVE_USERS=users).returncode == 0
    seen = world.java()
    assert not any("secret-word" in line for line in seen)
    file = world.data / "tmp" / "hive-users"
    assert f"STACK_HIVE_USERS_FILE={file}" in seen
    assert {"STACK_HIVE_AUTHENTICATION=CUSTOM", "STACK_HIVE_AUTHORIZATION=true"} <= set(seen)
    assert file.read_text().splitlines() == ["upbit:secret-word", "tableau:a:b"]
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_users_hive_requires_no_password(world: World) -> None:
    program(world.home / "bin" / "java", "env >>$CALLS")
    assert world.start("hiveserver2").returncode == 0
    assert not any(line.startswith("STACK_HIVE_A") for line in world.java())


def test_hiveserver2_ends_at_once_where_no_namenode_answers(world: World) -> None:
    """The removal of earlier sessions' folders waits for the NameNode beside it, and delays nobody."""
    left = [world.data / "tmp" / name for name in ("1_resources/a", "hive-local/b", "snappy-1-libsnappyjava.so")]
    for path in left:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert world.start("hiveserver2", STACK_NAMENODE_HTTP_PORT="9").returncode == 0
    assert not [path for path in left if path.exists()]
    log = world.data / "tmp" / "scratch.log"
    assert becomes_true(lambda: log.exists() and "HDFS stays" in log.read_text(), 20)
