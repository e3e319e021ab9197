"use strict";
/* The searchable list of markets, a combobox after the ARIA pattern. On narrow screens the list opens on focus. */

const picker = (() => {
  const box = document.querySelector(".picker");
  const input = document.getElementById("market");
  const list = document.getElementById("market-list");
  const narrow = matchMedia("(max-width: 820px)");
  let rows = [];
  let chosen = null;
  let active = -1;
  let onChoose = () => {};

  const options = () => [...list.querySelectorAll("[role=option]")];

  function found() {
    const words = input.value.trim().toUpperCase();
    return words === chosen ? rows : rows.filter((row) => row.market.includes(words));
  }

  function option(row, index) {
    const item = document.createElement("li");
    item.id = `market-${row.market}`;
    item.role = "option";
    item.dataset.market = row.market;
    item.ariaSelected = String(row.market === chosen);
    item.classList.toggle("active", index === active);
    const price = document.createElement("span");
    price.textContent = format.price(row.trade_price);
    item.append(row.market, price);
    item.classList.toggle("stale", row.stale);
    if (row.stale) item.title = `known only until ${format.time(row.covered_until)} KST: ${format.reason(row.stale_reason)}`;
    return item;
  }

  function render() {
    const matches = found();
    active = Math.min(active, matches.length - 1);
    const place = list.scrollTop;
    list.replaceChildren(...matches.map(option));
    list.scrollTop = place;
    if (!matches.length) {
      const none = document.createElement("li");
      none.className = "none";
      none.textContent = rows.length ? "No market of this name" : "No markets yet";
      list.append(none);
    }
    input.setAttribute("aria-activedescendant", active >= 0 ? `market-${matches[active].market}` : "");
  }

  function open(yes) {
    box.classList.toggle("open", yes);
    input.ariaExpanded = String(yes || !narrow.matches);
  }

  function choose(market) {
    chosen = market;
    active = -1;
    input.value = narrow.matches ? market : "";
    open(false);
    render();
    onChoose(market);
  }

  function move(step) {
    const count = options().length;
    if (!count) return;
    active = (active + step + count) % count;
    render();
    options()[active].scrollIntoView({ block: "nearest" });
  }

  input.addEventListener("input", () => { active = input.value ? 0 : -1; open(true); render(); });
  input.addEventListener("focus", () => { open(true); input.select(); });
  input.addEventListener("blur", () => open(false));
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && options()[active]) {
      choose(options()[active].dataset.market);
      input.blur();
    } else if (event.key === "Escape") {
      input.blur();
    }
  });
  // Prevents the blur that would close the list before the click arrives.
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const item = event.target.closest("[role=option]");
    if (item) {
      choose(item.dataset.market);
      input.blur();
    }
  });

  return {
    /** Show markets, sorted by today's turnover, largest first; `current` is the chosen one. */
    show(markets, current) {
      rows = [...markets].sort((a, b) => b.acc_trade_price_today - a.acc_trade_price_today);
      if (current !== chosen && narrow.matches) input.value = current ?? "";
      chosen = current;
      render();
    },
    /** Call `handler` with the market that the user picks. */
    onChoose(handler) {
      onChoose = handler;
    },
  };
})();
