"""The page of a service whose candles stopped coming, in Debian's Chromium: what a person would see."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from selenium.webdriver.common.by import By

from tests.browser.test_page import SCREENSHOT, browser, wait_for
from tests.unit.flask_app.test_freshness import failed_run
from tests.unit.flask_app.world import NOON, World
from upbit_elt.lake.dag_errors import DagError, report
from upbit_elt.replica.server import running

__all__ = ["browser"]  # a fixture


@pytest.fixture
def served() -> Iterator[tuple[World, str]]:
    world = World()
    world.publish(NOON - timedelta(hours=4), NOON)
    with running(world.app) as address:
        yield world, address


def said(driver: Any) -> list[str]:
    return [line.text for line in driver.find_elements(By.CSS_SELECTOR, "#stale p")]


def test_stale_prices_are_called_so_with_since_and_why(served: tuple[World, str], browser: Any) -> None:
    world, address = served
    browser.get(address)
    wait_for(browser, lambda driver: driver.find_element(By.ID, "covered").text.endswith("KST"))
    assert browser.find_element(By.ID, "stale").is_displayed() is False
    failed_run(world, 10, ("KRW-ETH",))
    now = world.clock.now()
    report(world.lake, DagError("min_candle", "roll", "run", now, now + timedelta(minutes=5), "Unreachable: no answer"))
    # While one request loads what is new, others are answered from what was there before.
    assert world.client.get("/api/v1/status").get_json()["stale_markets"] == 1
    browser.get(address)
    wait_for(browser, said)
    assert said(browser) == [
        "STALE PRICES. 1 of 3 markets are known only until 11-24 12:00 KST, 10 min ago. "
        "Why: unreachable (1): no answer in time.",
        "min_candle failed at 11-24 12:10 KST: Unreachable: no answer",
    ]
    marked = browser.find_elements(By.CSS_SELECTOR, "#market-list .stale")
    assert [option.get_attribute("data-market") for option in marked] == ["KRW-ETH"]
    browser.save_screenshot(str(SCREENSHOT.with_name("stale.png")))
    browser.get(f"{address}#KRW-ETH")
    browser.refresh()
    wait_for(browser, lambda driver: "known only until" in driver.find_element(By.ID, "price-at").text)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert [line for line in browser.get_log("browser") if "Content Security Policy" in line["message"]] == []
