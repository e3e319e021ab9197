"""`./run stop`: every process gone, also what Airflow's tasks started; the data stays."""

from __future__ import annotations

from upbit_elt.errors import StackError
from upbit_elt.stack import processes
from upbit_elt.stack.options import StackSettings
from upbit_elt.stack.supervision import Supervisor

SHUTDOWN_TIMEOUT = 60.0
ORPHAN_GRACE = 3.0
# The scheduler lets running tasks finish, for which they need everything else; nothing here needs one another. HDFS
# is last, and left to supervisord's own order.
_WAVES = (
    ("watchdog",),  # it would start again what ends
    ("airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"),
    ("airflow-api-server", "flask", "replica", "hiveserver2", "backup"),
)


def halt(stack: StackSettings) -> int:
    """End the whole stack of a data folder and give how many processes there were.

    Raises:
        StackError: something survived even SIGKILL.
    """
    before = len(processes.members(stack.data_dir))
    supervisor = Supervisor(stack)
    if supervisor.alive():
        for wave in _WAVES:
            supervisor.stop(wave, SHUTDOWN_TIMEOUT)
        supervisor.shutdown(SHUTDOWN_TIMEOUT)
    # services whose supervisor died, and tasks that left their parent's process group
    if left := processes.end(stack.data_dir, ORPHAN_GRACE):
        raise StackError(f"still running after SIGKILL: {', '.join(str(process.pid) for process in left)}")
    return before
