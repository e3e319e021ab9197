from __future__ import annotations

from pathlib import Path

import pytest

from upbit_elt.errors import StackError
from upbit_elt.stack import preflight
from upbit_elt.stack.options import StackSettings


def test_a_full_disk_is_refused_before_the_folder_exists(stack: StackSettings) -> None:
    assert not stack.data_dir.exists()
    with pytest.raises(StackError, match=r"only [\d.]+ GB are free .* UPBIT_RUN_DATA_DIR"):
        preflight.check_disk(stack.model_copy(update={"min_free_gb": 1e9}))
    preflight.check_disk(stack.model_copy(update={"min_free_gb": 0.0}))
    assert preflight.free_gb(Path("/")) > 0
