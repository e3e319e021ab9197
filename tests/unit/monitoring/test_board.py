"""The Grafana board, as far as it can be checked without Grafana: its form, its layout, its queries' labels."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Any

from tests.support.prometheus import metrics_of, panels

Place = dict[str, int]


def apart(one: Place, other: Place) -> bool:
    return any(
        first[edge] + first[size] <= second[edge]
        for first, second in ((one, other), (other, one))
        for edge, size in (("x", "w"), ("y", "h"))
    )


def test_panels_have_numbers_and_places_of_their_own() -> None:
    found = panels()
    assert len({panel["id"] for panel in found}) == len(found)
    assert len({panel["title"] for panel in found}) == len(found)
    for one, other in combinations(found, 2):
        assert apart(one["gridPos"], other["gridPos"]), (one["title"], other["title"])


def test_every_panel_queries_the_chosen_prometheus_for_our_metrics() -> None:
    for panel in panels():
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            for target in panel["targets"]:
                assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
                assert metrics_of(target["expr"]), panel["title"]


def test_a_legend_names_labels_that_the_query_keeps() -> None:
    for target in [target for panel in panels() for target in panel.get("targets", [])]:
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert named <= kept(target), target


def kept(target: dict[str, Any]) -> set[str]:
    """The labels that an aggregation keeps; without one, those of the metric."""
    by = re.search(r"by \(([\w, ]+)\)", target["expr"])
    if by:
        return {label.strip() for label in by[1].split(",")}
    return {"quote", "reach"} if "known_until" in target["expr"] else {"quote", "state"}
