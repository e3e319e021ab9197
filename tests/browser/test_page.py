"""The page of a running stack in Debian's Chromium: what a person would see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

CHROMIUM, CHROMEDRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
SCREENSHOT = Path(__file__).parents[2] / ".artifacts" / "page.png"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--window-size=1280,900",
)
# What the chart holds: (trace name, number of points with a value).
TRACES = """
return (document.getElementById("chart").data ?? []).map((trace) => {
  const values = trace.close ?? trace.y;
  return [trace.name, values.filter((value) => value !== null && value !== undefined).length];
});
"""


class Stack(Protocol):
    """What the fixture `stack` gives: a running stack."""

    @property
    def page(self) -> str:
        """URL of the page."""
        ...


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if not (CHROMIUM.exists() and CHROMEDRIVER.exists()):
        pytest.skip("needs Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(CHROMEDRIVER)))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def page(stack: Stack, browser: Any) -> Any:
    """The browser with the page open, once candles and forecast are drawn."""
    browser.get(stack.page)
    wait_for(browser, lambda driver: {"candles", "median"} <= _traces(driver).keys())
    return browser


def test_the_chart_holds_candles_volume_and_the_forecast_fan(page: Any) -> None:
    traces = _traces(page)
    assert set(traces) == {"candles", "volume", "90 % band", "50 % band", "median"}
    assert traces["candles"] == traces["volume"] > 0
    assert traces["median"] == 9  # the last price, and 8 horizons
    assert page.find_element(By.ID, "empty").is_displayed() is False
    assert len(page.find_elements(By.CSS_SELECTOR, "#rows tr")) == 8


def test_the_page_says_the_state_of_the_pipeline(page: Any) -> None:
    texts = {name: page.find_element(By.ID, name).text for name in ("covered", "origin", "model", "markets", "candles")}
    assert texts["covered"].endswith("KST")
    assert texts["origin"].endswith("KST")
    assert texts["model"] not in ("", "–", "none yet")
    assert int(texts["markets"].replace(",", "")) > 0
    assert int(texts["candles"].replace(",", "")) > 0
    assert page.find_element(By.ID, "notice").is_displayed() is False


def test_replica_data_is_called_so(page: Any) -> None:
    if page.find_element(By.ID, "dataset").text == "upbit":
        assert page.find_elements(By.ID, "banner") == []
    else:
        banner = page.find_element(By.ID, "banner")
        assert banner.is_displayed()
        assert "REPLICA DATA - not the real exchange" in banner.text


def test_the_picture_fits_the_window(page: Any) -> None:
    SCREENSHOT.parent.mkdir(exist_ok=True)
    page.save_screenshot(str(SCREENSHOT))
    assert page.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")


def test_the_calendar_has_a_word_for_every_day(page: Any) -> None:
    wait_for(page, lambda driver: driver.find_elements(By.CSS_SELECTOR, "#days .day a"))
    cells = page.find_elements(By.CSS_SELECTOR, "#days .day a")
    assert {cell.find_element(By.TAG_NAME, "span").text for cell in cells} <= {"open", "closed", "proven"}
    assert cells[-1].find_element(By.TAG_NAME, "span").text == "open", "today"
    assert page.find_element(By.ID, "days-sum").text.endswith(("day proven", "days proven"))


def test_another_market_is_found_by_typing(page: Any) -> None:
    shown = page.find_element(By.ID, "chart-title").text
    other = next(name for name in _options(page) if name != shown)
    field = page.find_element(By.ID, "market")
    field.send_keys(other.lower())
    field.send_keys(*[Keys.ARROW_DOWN] * _options(page).index(other), Keys.ENTER)
    wait_for(page, lambda driver: driver.find_element(By.ID, "chart-title").text == other)
    assert page.current_url.endswith(f"#{other}")
    wait_for(
        page, lambda driver: driver.find_element(By.ID, "link-candles").get_attribute("href").endswith(f"={other}")
    )


def test_the_console_stays_clean(page: Any) -> None:
    """Last of the file: what all of the above said to the console."""
    assert [entry for entry in page.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")] == []


def _traces(driver: Any) -> dict[str, int]:
    return dict(driver.execute_script(TRACES))


def _options(driver: Any) -> list[str]:
    found = driver.find_elements(By.CSS_SELECTOR, "#market-list [role=option]")
    return [option.get_attribute("data-market") for option in found]


def wait_for(driver: Any, condition: Any) -> None:
    WebDriverWait(driver, 60).until(condition)
