"use strict";
/* The chart: candles and volume of the last hours, and the fan of the newest forecast. */

const chart = (() => {
  const node = document.getElementById("chart");
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  /** Add an empty row for every minute without a trade: Plotly derives the candles' width from their distance. */
  function everyMinute(candles) {
    const rows = [];
    for (const row of candles) {
      const start = Date.parse(`${row.candle_date_time_utc}Z`);
      for (let last = rows.at(-1)?.start; last && last + 60e3 < start; last += 60e3) {
        rows.push({ start: last + 60e3, candle_date_time_kst: format.axis(last + 60e3) });
      }
      rows.push({ ...row, start });
    }
    return rows;
  }

  function candleTraces(traded) {
    const candles = everyMinute(traded);
    const x = candles.map((row) => row.candle_date_time_kst);
    const rising = candles.map((row) => row.trade_price >= row.opening_price);
    return [
      {
        type: "candlestick", name: "candles", x,
        open: candles.map((row) => row.opening_price), high: candles.map((row) => row.high_price),
        low: candles.map((row) => row.low_price), close: candles.map((row) => row.trade_price),
        increasing: { line: { color: color("up"), width: 1 }, fillcolor: color("up") },
        decreasing: { line: { color: color("down"), width: 1 }, fillcolor: color("down") },
      },
      {
        type: "bar", name: "volume", x, y: candles.map((row) => row.candle_acc_trade_volume), yaxis: "y2",
        marker: { color: rising.map((up) => color(up ? "up" : "down")), opacity: 0.45 },
        hovertemplate: "%{y:,.4~f}",
      },
    ];
  }

  /** Filled band between two quantiles: its outline follows the lower one backwards and the upper one forwards. */
  function band(name, points, low, high, fill) {
    const back = [...points].reverse();
    return {
      type: "scatter", mode: "lines", name, fill: "toself", fillcolor: fill, line: { width: 0 }, hoverinfo: "skip",
      x: [...points, ...back].map((point) => point.x),
      y: [...points.map((point) => point[high]), ...back.map((point) => point[low])],
    };
  }

  function fanTraces(forecast, last) {
    if (!forecast) return [];
    const points = forecast.rows.map((row) => ({ ...row, x: format.axis(row.target) }));
    if (last) {
      const price = last.trade_price;
      points.unshift({ x: format.axis(forecast.origin), q05: price, q25: price, q50: price, q75: price, q95: price });
    }
    return [
      band("90 % band", points, "q05", "q95", color("most")),
      band("50 % band", points, "q25", "q75", color("half")),
      {
        type: "scatter", mode: "lines", name: "median", x: points.map((point) => point.x),
        y: points.map((point) => point.q50), line: { color: color("accent"), width: 2 },
        hovertemplate: "median %{y:,.8~f}<extra></extra>",
      },
    ];
  }

  function layout(market, from, to) {
    const grid = { gridcolor: color("line"), zerolinecolor: color("line"), linecolor: color("line") };
    const narrow = node.clientWidth < 560;
    return {
      uirevision: market, showlegend: false, bargap: 0.2, hovermode: "x", dragmode: narrow ? false : "pan",
      margin: { l: 8, r: 8, t: 10, b: 28 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: color("soft") },
      hoverlabel: { bgcolor: color("panel"), bordercolor: color("line"), font: { color: color("ink") } },
      xaxis: {
        ...grid, type: "date", range: [from, to], rangeslider: { visible: false }, tickformat: "%H:%M",
        hoverformat: "%m-%d %H:%M KST", nticks: narrow ? 5 : 10, anchor: "y2",
      },
      yaxis: { ...grid, domain: [0.23, 1], side: "right", tickformat: ",.8~f", automargin: true, fixedrange: narrow },
      yaxis2: {
        ...grid, domain: [0, 0.17], side: "right", showgrid: false, nticks: 3, automargin: true,
        fixedrange: true, rangemode: "tozero", minexponent: 3, exponentformat: "SI",
      },
      shapes: [],
    };
  }

  /** Draw a market's candles (oldest first) and its forecast (or null) between two times. */
  function draw(market, candles, forecast, from, to) {
    const last = candles.at(-1);
    const traces = [...candleTraces(candles), ...fanTraces(forecast, last)];
    const frame = layout(market, format.axis(from), format.axis(to));
    if (forecast) {
      const x = format.axis(forecast.origin);
      frame.shapes.push({
        type: "line", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, line: { color: color("soft"), width: 1, dash: "dot" },
      });
    }
    return Plotly.react(node, traces, frame, { responsive: true, displayModeBar: false, scrollZoom: false });
  }

  return { draw };
})();
