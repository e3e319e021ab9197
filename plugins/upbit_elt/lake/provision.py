"""The folders of a new HDFS and their owners: each service has a user, and only that user may write."""

from __future__ import annotations

from typing import NamedTuple

from upbit_elt.lake.layout import TOP_FOLDERS
from upbit_elt.lake.webhdfs import Lake


class Folder(NamedTuple):
    """A folder, its owner, and its permission as octal digits."""

    path: str
    owner: str
    permission: str = "755"


# Where hive-site.xml and docker/hadoop/entrypoint.sh put what Hive itself writes.
HIVE_FOLDERS = (
    Folder("/user/hive", "hive"),
    Folder("/user/hive-jars", "hive"),
    Folder("/warehouse", "hive"),
    Folder("/warehouse_ext", "hive"),
    Folder("/data/tmp/hive-scratch", "hive", "733"),  # Hive insists on it
    Folder("/tmp", "hdfs", "1777"),  # noqa: S108 - in HDFS
)


def folders(root: str, writer: str) -> tuple[Folder, ...]:
    """All folders of a deployment: Hive's, and those of the dataset under `root`, which the user `writer` owns."""
    own = tuple(Folder(f"{root}/{name}", writer) for name in TOP_FOLDERS)
    return (*HIVE_FOLDERS, *([Folder(root, writer)] if root else []), *own)


def provision(lake: Lake, writer: str) -> tuple[Folder, ...]:
    """Create the missing folders and set owners and permissions; `lake` must act as HDFS's superuser.

    Returns all folders. A second run changes nothing.

    Raises:
        LakeUnavailable: HDFS does not answer, or refuses a user that is not the superuser.
    """
    wanted = folders(lake.root, writer)
    for folder in wanted:
        lake.make_folder(folder.path)
        lake.own(folder.path, folder.owner, folder.permission)
    return wanted
