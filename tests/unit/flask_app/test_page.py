"""The page's shell: it opens whatever Hive does, and says what data it shows."""

from __future__ import annotations

import re

import pytest

from tests.unit.flask_app.world import World

BANNER = "REPLICA DATA - not the real exchange"


def test_the_page_opens_while_hive_and_hdfs_are_down(empty_world: World) -> None:
    empty_world.hive.up = empty_world.lake.up = False
    response = empty_world.client.get("/")
    assert response.status_code == 200
    assert response.content_type.startswith("text/html")


@pytest.mark.parametrize(("dataset", "shown"), [("upbit", False), ("replica", True), ("replay", True)])
def test_the_banner_is_there_for_all_but_the_real_exchange(dataset: str, shown: bool) -> None:
    page = World(dataset=dataset).client.get("/").text
    assert (BANNER in page) is shown
    assert dataset in page


def test_everything_that_the_page_loads_comes_from_the_service(empty_world: World) -> None:
    page = empty_world.client.get("/").text
    links = re.findall(r'(?:src|href)="([^"]+)"', page)
    loaded = [link for link in links if link.startswith("/static/")]
    assert len(loaded) >= 6
    assert all(link.startswith("/") for link in links)
    for link in loaded:
        with empty_world.client.get(link) as response:
            assert response.status_code == 200, link


def test_plotly_comes_from_its_package_and_is_kept_by_the_browser(empty_world: World) -> None:
    response = empty_world.client.get("/static/vendor/plotly.min.js")
    assert b"Plotly" in response.data[:200_000]
    assert response.content_type.startswith("text/javascript")
    assert response.cache_control.max_age == 31_536_000


def test_a_hostile_base_url_stays_text() -> None:
    page = World(base_url="http://<script>alert(1)</script>").client.get("/").text
    assert "<script>alert" not in page
