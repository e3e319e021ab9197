"use strict";
/* Updates the page every 30 s. When a request fails, the page keeps what it showed before and says what is wrong. */

const EVERY_MS = 30_000;
const HOURS_BACK = 3;
const LATE_SECONDS = 300;
const api = document.body.dataset.api;
const byId = (id) => document.getElementById(id);
let market = decodeURIComponent(location.hash.slice(1)) || null;
let drawn = null;
let round = 0;

/** Fetch JSON from an API path. Throws an Error that says what to do; its `name` is the problem's. */
async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters);
  const response = await fetch(`${api}/${path}${query.size ? `?${query}` : ""}`).catch(() => {
    throw new Error("The service does not answer. Is it running? (./run status)");
  });
  const body = await response.json();
  if (!response.ok) throw Object.assign(new Error(`${body.title}: ${body.detail}`), { name: body.type.split("/").pop() });
  return body;
}

/** Fetch JSON; null when the API says that there is no forecast. */
async function getOrNull(path, parameters) {
  try {
    return await get(path, parameters);
  } catch (error) {
    if (error.name === "no_forecast") return null;
    throw error;
  }
}

function showAge(id, seconds, words) {
  byId(id).textContent = seconds === null ? "\u00a0" : words(format.age(seconds));
  byId(id).classList.toggle("late", seconds !== null && seconds > LATE_SECONDS);
}

function showStatus(status) {
  byId("covered").textContent = status.covered_until ? `${format.time(status.covered_until)} KST` : "none yet";
  showAge("lag", status.lag_seconds, (age) => `${age} behind`);
  byId("origin").textContent = status.forecast_origin ? `${format.time(status.forecast_origin)} KST` : "none yet";
  showAge("age", status.forecast_age_seconds, (age) => `${age} old`);
  byId("model").textContent = status.model ? status.model.version : status.model_trouble ? "unusable" : "none yet";
  byId("model").title = byId("model").textContent;
  byId("badge").textContent = status.model?.provisional ? "PROVISIONAL" : status.model ? "champion" : "waits for train_forecast";
  byId("badge").className = status.model?.provisional ? "badge" : "";
  byId("markets").textContent = format.count(status.markets);
  byId("candles").textContent = format.count(status.candles_today);
}

/** Show in words what is stale, since when and why, and which DAG fails. */
function showStale(status) {
  const lines = [];
  if (status.stale_markets) {
    const who = status.stale_markets === status.listed_markets ? "All" : `${format.count(status.stale_markets)} of`;
    const since = Math.round((Date.parse(status.now) - Date.parse(status.stale_since)) / 1000);
    const reasons = Object.entries(status.stale_reasons).map(([name, count]) => `${format.reason(name)} (${format.count(count)})`);
    const why = [reasons.join(", "), status.stale_detail].filter(Boolean).join(": ");
    lines.push(`STALE PRICES. ${who} ${format.count(status.listed_markets)} markets are known only until ` +
      `${format.time(status.stale_since)} KST, ${format.age(since)} ago. Why: ${why}.`);
  }
  if (status.forecast_stale) lines.push(`No new forecast since ${format.time(status.forecast_origin)} KST.`);
  if (status.model_trouble) lines.push(`No new forecast: ${status.model_trouble}.`);
  for (const error of status.errors) lines.push(`${error.dag} failed at ${format.time(error.at)} KST: ${error.error}`);
  byId("stale").replaceChildren(...lines.map((text) => Object.assign(document.createElement("p"), { textContent: text })));
  byId("stale").hidden = !lines.length;
}

function showRows(forecast) {
  const cells = (row) => [
    format.time(row.target), `${row.horizon} min`, ...["q05", "q25", "q50", "q75", "q95"].map((q) => format.price(row[q])),
    format.volume(row.expected_volume),
  ];
  byId("rows").replaceChildren(...(forecast?.rows ?? []).map((row) => {
    const line = document.createElement("tr");
    cells(row).forEach((text, index) => {
      const cell = line.insertCell();
      cell.textContent = text;
      if (index === 4) cell.className = "median";
    });
    return line;
  }));
}

function showPrice(candles, row) {
  const last = candles.at(-1);
  const first = candles[0];
  byId("chart-title").textContent = market ?? "";
  byId("price").textContent = last ? format.price(last.trade_price) : "";
  byId("price").className = "";
  byId("price-at").textContent = "";
  byId("price-at").className = row?.stale ? "late" : "";
  if (!last) return;
  const change = 100 * (last.trade_price / first.opening_price - 1);
  byId("price").className = change > 0 ? "up" : change < 0 ? "down" : "";
  byId("price-at").textContent =
    `${market.split("-")[0]}, ${change > 0 ? "+" : ""}${change.toFixed(2)} % in ${HOURS_BACK} h, at ${last.candle_date_time_kst.slice(11, 16)}` +
    (row?.stale ? `; known only until ${format.time(row.covered_until)}` : "");
}

function showEmpty(text) {
  byId("empty").textContent = text;
  byId("empty").hidden = !text;
}

async function showMarket(status, row, mine) {
  if (!market) return showEmpty("No candles yet: the first run of min_candle has not finished. It takes a minute or two.");
  const end = Date.parse(status.looked_until);
  const from = new Date(end - HOURS_BACK * 3600e3).toISOString();
  const [candles, forecast] = await Promise.all([
    get("candles", { market, from, count: HOURS_BACK * 60 }),
    getOrNull("forecasts", { market }),
  ]);
  if (mine !== round) return undefined; // the user has chosen another market meanwhile
  candles.reverse();
  showPrice(candles, row);
  showRows(forecast);
  showEmpty(candles.length ? "" : `No candles yet: ${market} had no trade in the last ${HOURS_BACK} hours.`);
  for (const path of ["candles", "forecasts"]) byId(`link-${path}`).href = `${api}/${path}?market=${market}`;
  drawn = market;
  return chart.draw(market, candles, forecast, from, new Date(end + 65 * 60e3).toISOString());
}

async function refresh() {
  const mine = ++round;
  try {
    const [status, markets] = await Promise.all([get("status"), get("markets")]);
    const names = markets.map((row) => row.market);
    if (!names.includes(market)) market = names.includes("KRW-BTC") ? "KRW-BTC" : (names[0] ?? null);
    showStatus(status);
    showStale(status);
    picker.show(markets, market);
    await showMarket(status, markets.find((row) => row.market === market), mine);
    calendar.show(await get("days"), status.now);
    byId("notice").hidden = true;
    byId("updated").textContent = `Last update: ${format.time(status.now)} KST.`;
  } catch (error) {
    byId("notice").textContent = error.message;
    byId("notice").hidden = false;
    if (drawn !== market || !market) showEmpty("No candles yet: the pipeline does not answer. This page tries again every 30 s.");
  }
}

picker.onChoose((chosen) => {
  market = chosen;
  history.replaceState(null, "", `#${encodeURIComponent(chosen)}`);
  showPrice([]);
  showRows(null);
  refresh();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", refresh);
refresh();
setInterval(refresh, EVERY_MS);
