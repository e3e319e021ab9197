"use strict";
/* Formats numbers and times for the page. Times are given in UTC and shown in KST. */

const KST = "Asia/Seoul";
const clock = new Intl.DateTimeFormat("en-GB", { timeZone: KST, hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-CA", { timeZone: KST, year: "numeric", month: "2-digit", day: "2-digit" });
const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

const format = {
  /** `08:16`, with the day in front when it is not today in KST. */
  time(zulu) {
    const moment = new Date(zulu);
    const text = clock.format(moment);
    return day.format(moment) === day.format(new Date()) ? text : `${day.format(moment).slice(5)} ${text}`;
  },
  /** The time in KST, without zone, for Plotly's axis. */
  axis(moment) {
    return new Date(new Date(moment).getTime() + 9 * 3600e3).toISOString().slice(0, 19);
  },
  count(value) {
    return whole.format(value);
  },
  /** The price with fewer decimals the larger it is; none from 100,000 on. */
  price(value) {
    if (value === null || value === undefined) return "–";
    const digits = Math.max(0, Math.min(8, 5 - Math.floor(Math.log10(Math.abs(value) || 1))));
    return value.toLocaleString("en-US", { maximumFractionDigits: digits });
  },
  volume(value) {
    return value === null ? "–" : value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
  },
  /** Write the API's `server_trouble` as `server trouble`. */
  reason(name) {
    return name.replaceAll("_", " ");
  },
  age(seconds) {
    if (seconds < 90) return `${Math.max(0, seconds)} s`;
    if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
    if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
    return `${Math.round(seconds / 86400)} days`;
  },
};
