"""hive/ddl names the columns of what is written, so that a column of a new release is one of its tables too."""

from __future__ import annotations

import pytest

from upbit_elt.candle import SCHEMA
from upbit_elt.forecast.schema import FORECAST_SCHEMA
from upbit_elt.forecast.score_day import SCORE_SCHEMA
from upbit_elt.lake.layout import Kind
from upbit_elt.quality.results import SCHEMA as PROOFS
from upbit_elt.warehouse.tables import columns

TYPES = {"string": "STRING", "double": "DOUBLE", "int64": "BIGINT", "int32": "INT"}


@pytest.mark.parametrize(
    ("kind", "schema"),
    [("candle", SCHEMA), ("forecast", FORECAST_SCHEMA), ("reconciliation", PROOFS), ("score", SCORE_SCHEMA)],
)
def test_every_column_that_is_written_has_one_in_hive(kind: Kind, schema: object) -> None:
    assert columns(kind) == {field.name: TYPES[str(field.type)] for field in schema}  # type: ignore[attr-defined]
