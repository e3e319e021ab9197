"use strict";
/* The days of the last five weeks, Monday to Sunday. Each cell has a word and a count; colour only repeats the word. */

const calendar = (() => {
  const WEEKS = 5;
  const NAMES = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
  const DAY_MS = 86_400e3;
  const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
  const iso = (moment) => new Date(moment).toISOString().slice(0, 10);

  /** Texts of a day's cell: [CSS class, word, sentence for tooltip and screen reader]. */
  function words(day) {
    const count = `${format.count(day.candles)} candles`;
    if (day.findings) return ["findings", "differs", `${count}; ${day.findings} hours differ from the exchange`];
    const repaired = day.repaired ? `, ${day.repaired} hours repaired` : "";
    const gone = day.gone ? `, ${day.gone} markets no longer listed` : "";
    if (day.state === "proven") return ["proven", "proven", `${count}; all our hours match the exchange’s${repaired}${gone}`];
    const holes = day.holes ? `; ${day.holes} markets with a hole` : "";
    if (day.state === "closed") return ["closed", "closed", `${count}; not or only partly compared with the exchange yet${holes}`];
    return ["open", "open", `${count} so far`];
  }

  function cell(date, day) {
    const item = document.createElement("li");
    const number = document.createElement("b");
    number.textContent = date.endsWith("-01") ? `${Number(date.slice(5, 7))}/1` : Number(date.slice(8));
    if (!day) {
      item.className = "day none";
      item.title = `${date}: not collected`;
      item.append(number);
      return item;
    }
    const [kind, word, sentence] = words(day);
    const link = document.createElement("a");
    link.href = `${document.body.dataset.api}/days/${date}`;
    link.title = `${date} (KST) ${word}: ${sentence}`;
    link.setAttribute("aria-label", link.title);
    const state = document.createElement("span");
    state.textContent = word;
    const size = document.createElement("small");
    size.textContent = day.findings ? `${day.findings} h` : short.format(day.candles);
    link.append(number, state, size);
    item.className = `day ${kind}`;
    item.append(link);
    return item;
  }

  return {
    /** Draw the calendar: `days` is the API's list of days, `now` the API's time. */
    show(days, now) {
      const known = new Map(days.map((day) => [day.day, day]));
      const today = Date.parse(iso(Date.parse(now) + 9 * 3600e3));
      const weekday = (new Date(today).getUTCDay() + 6) % 7;
      const first = today - (weekday + 7 * (WEEKS - 1)) * DAY_MS;
      const heads = NAMES.map((name) => Object.assign(document.createElement("li"), { className: "name", textContent: name }));
      const cells = [];
      for (let moment = first; moment <= today; moment += DAY_MS) cells.push(cell(iso(moment), known.get(iso(moment))));
      document.getElementById("days").replaceChildren(...heads, ...cells);
      const proven = days.filter((day) => day.state === "proven").length;
      const findings = days.reduce((sum, day) => sum + (day.findings ?? 0), 0);
      document.getElementById("days-sum").textContent =
        `${proven} of ${days.length} ${days.length === 1 ? "day" : "days"} proven${findings ? `, ${findings} hours differ` : ""}`;
    },
  };
})();
