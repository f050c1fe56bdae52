"use strict";
// One self-contained page: the data stands in #data, everything is drawn here, nothing is fetched.
const DATA = JSON.parse(document.getElementById("data").textContent);
const $ = (tag, props = {}, ...kids) => {
  const el = Object.assign(document.createElement(tag), props);
  el.append(...kids.filter((k) => k !== null && k !== undefined));
  return el;
};
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const INFO = Object.fromEntries(DATA.metrics.map((m) => [m.name, m]));
const UNIT_DIGITS = { "%": 2, ratio: 2, money: 2, count: 0, bars: 0 };

function number(x, digits = 2) {
  if (x === null || x === undefined) return "–";
  return x.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
function metric(name, value) {
  const info = INFO[name] || { unit: "" };
  if (value === null || value === undefined) return "–";
  if (info.unit === "ms") return duration(value);
  const digits = UNIT_DIGITS[info.unit] ?? 2;
  return number(value, digits) + (info.unit === "%" ? " %" : "");
}
function duration(ms) {
  const d = ms / 86400000;
  return d >= 2 ? number(d, 1) + " d" : d >= 1 / 12 ? number(d * 24, 1) + " h" : number(d * 1440, 0) + " min";
}
const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const minute = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
const tone = (x) => (x > 0 ? "up" : x < 0 ? "down" : "");

// ---- canvas charts ------------------------------------------------------------------------------

function chart(parent, height, draw, tip) {
  const canvas = $("canvas"), box = $("div", { className: "chart" }, canvas), label = $("div", { className: "tip" });
  box.append(label);
  parent.append(box);
  let view = null;
  const paint = (mouse) => {
    const ratio = window.devicePixelRatio || 1, width = box.clientWidth;
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    canvas.style.height = height + "px";
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.font = "11px system-ui, sans-serif";
    view = draw(ctx, width, height, mouse);
  };
  canvas.addEventListener("pointermove", (e) => {
    const x = e.offsetX, y = e.offsetY;
    paint({ x, y });
    const text = view && tip ? tip(view, x, y) : null;
    label.style.display = text ? "block" : "none";
    if (text) {
      label.textContent = text;
      label.style.left = Math.min(x + 14, box.clientWidth - label.offsetWidth - 4) + "px";
      label.style.top = Math.max(0, y - 40) + "px";
    }
  });
  canvas.addEventListener("pointerleave", () => { label.style.display = "none"; paint(null); });
  new ResizeObserver(() => paint(null)).observe(box);
  return { canvas, paint };
}

function niceTicks(low, high, count) {
  const span = high - low || 1, raw = span / count, mag = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * mag).find((s) => span / s <= count) || 10 * mag;
  const out = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step * 1e-9; v += step) out.push(v);
  return out;
}
function yAxis(ctx, scale, low, high, left, right, format) {
  ctx.strokeStyle = css("--line");
  ctx.fillStyle = css("--soft");
  ctx.textAlign = "left";
  ctx.lineWidth = 1;
  for (const v of niceTicks(low, high, 5)) {
    const y = Math.round(scale(v)) + 0.5;
    ctx.beginPath(); ctx.moveTo(left, y); ctx.lineTo(right, y); ctx.stroke();
    ctx.fillText(format(v), right + 6, y + 4);
  }
}
function xAxis(ctx, times, x, left, right, y) {
  ctx.fillStyle = css("--soft");
  ctx.textAlign = "center";
  const n = Math.max(2, Math.floor((right - left) / 110)), intraday = times[times.length - 1] - times[0] < 4 * 86400000;
  for (let k = 0; k < n; k++) {
    const i = Math.round(((times.length - 1) * (k + 0.5)) / n);
    ctx.fillText(intraday ? minute(times[i]).slice(5) : day(times[i]), x(i), y);
  }
}
const compact = (v) => v === 0 ? "0" : (Math.abs(v) >= 1e6 ? number(v / 1e6, 2) + "M" : Math.abs(v) >= 1e4 ? number(v / 1e3, 1) + "k" : number(v, Math.abs(v) < 10 ? 2 : 0));

function equityChart(parent, d) {
  const { t, equity, drawdown, hold } = d.curve;
  chart(parent, 330, (ctx, w, h, mouse) => {
    const right = w - 62, left = 4, mid = h - 110, bottom = h - 20, n = t.length;
    const all = hold ? equity.concat(hold) : equity;
    let low = Infinity, high = -Infinity;
    for (const v of all) { if (v < low) low = v; if (v > high) high = v; }
    const pad = (high - low) * 0.05 || Math.abs(high) * 0.01 || 1;
    low -= pad; high += pad;
    const x = (i) => left + ((right - left) * i) / Math.max(1, n - 1);
    const y = (v) => 8 + ((mid - 16) * (high - v)) / (high - low);
    yAxis(ctx, y, low, high, left, right, compact);
    const path = (values, f) => { ctx.beginPath(); values.forEach((v, i) => (i ? ctx.lineTo(x(i), f(v)) : ctx.moveTo(x(i), f(v)))); };
    if (hold) { ctx.strokeStyle = css("--soft"); ctx.setLineDash([3, 3]); ctx.lineWidth = 1; path(hold, y); ctx.stroke(); ctx.setLineDash([]); }
    path(equity, y);
    ctx.strokeStyle = css("--accent"); ctx.lineWidth = 1.6; ctx.stroke();
    ctx.lineTo(x(n - 1), mid - 8); ctx.lineTo(x(0), mid - 8); ctx.closePath(); ctx.fillStyle = css("--fill"); ctx.fill();
    let deep = 0;
    for (const v of drawdown) if (v > deep) deep = v;
    const yd = (v) => mid + 10 + ((bottom - mid - 26) * v) / (deep || 1);
    yAxis(ctx, yd, 0, deep || 1, left, right, (v) => (v ? "-" : "") + number(v, deep < 5 ? 1 : 0) + " %");
    path(drawdown, yd);
    ctx.strokeStyle = css("--down"); ctx.lineWidth = 1; ctx.stroke();
    ctx.lineTo(x(n - 1), yd(0)); ctx.lineTo(x(0), yd(0)); ctx.closePath(); ctx.fillStyle = css("--dd"); ctx.fill();
    xAxis(ctx, t, x, left, right, h - 5);
    const at = mouse ? Math.max(0, Math.min(n - 1, Math.round(((mouse.x - left) / (right - left)) * (n - 1)))) : null;
    if (at !== null) { ctx.strokeStyle = css("--soft"); ctx.beginPath(); ctx.moveTo(x(at), 4); ctx.lineTo(x(at), bottom - 4); ctx.stroke(); }
    return { at };
  }, (v) => v.at === null ? null : `${minute(t[v.at])}\nequity    ${number(equity[v.at])}\ndrawdown  ${number(drawdown[v.at])} %` + (hold ? `\nbuy&hold  ${number(hold[v.at])}` : ""));
}

function candleChart(parent, d) {
  const c = d.candles;
  if (!c) { parent.append($("p", { className: "soft", textContent: "Candles are kept for the leading runs only; tide export RUN writes a report of any run." })); return; }
  const n = c.t.length;
  let from = Math.max(0, n - 160), count = Math.min(n, 160), drag = null;
  const byBar = new Map();
  for (const trade of d.trades) for (const [bar, kind] of [[trade.entry_bar, "entry"], [trade.exit_bar, "exit"]]) {
    if (bar === null) continue;
    if (!byBar.has(bar)) byBar.set(bar, []);
    byBar.get(bar).push({ trade, kind });
  }
  const widget = chart(parent, 380, (ctx, w, h, mouse) => {
    const right = w - 62, left = 4, bottom = h - 22, to = Math.min(n, from + count);
    let low = Infinity, high = -Infinity;
    for (let i = from; i < to; i++) { if (c.l[i] < low) low = c.l[i]; if (c.h[i] > high) high = c.h[i]; }
    const pad = (high - low) * 0.06 || 1;
    low -= pad; high += pad;
    const step = (right - left) / count, x = (i) => left + (i - from + 0.5) * step, y = (v) => 6 + ((bottom - 12) * (high - v)) / (high - low);
    yAxis(ctx, y, low, high, left, right, (v) => number(v, high - low < 5 ? 4 : high - low < 500 ? 2 : 0));
    for (let i = from; i < to; i++) {
      ctx.strokeStyle = ctx.fillStyle = css(c.c[i] >= c.o[i] ? "--up" : "--down");
      ctx.lineWidth = 1;
      ctx.beginPath(); ctx.moveTo(x(i), y(c.h[i])); ctx.lineTo(x(i), y(c.l[i])); ctx.stroke();
      const top = y(Math.max(c.o[i], c.c[i])), tall = Math.max(1, Math.abs(y(c.o[i]) - y(c.c[i]))), wide = Math.max(1, step * 0.7);
      ctx.fillRect(x(i) - wide / 2, top, wide, tall);
    }
    const end = (k) => (k === null ? to : k);
    for (const trade of d.trades) {
      const a = trade.entry_bar, b = end(trade.exit_bar);
      if (b < from || a >= to) continue;
      const price = trade.exit_price ?? c.c[n - 1];
      ctx.strokeStyle = css(trade.profit >= 0 ? "--up" : "--down"); ctx.setLineDash([4, 3]); ctx.lineWidth = 1.2;
      ctx.beginPath(); ctx.moveTo(x(a), y(trade.entry_price)); ctx.lineTo(x(b), y(price)); ctx.stroke(); ctx.setLineDash([]);
      mark(ctx, x(a), y(trade.entry_price), trade.side === "long", css("--accent"));
      if (trade.exit_bar !== null) { ctx.fillStyle = ctx.strokeStyle; ctx.beginPath(); ctx.arc(x(b), y(price), 3.2, 0, 7); ctx.fill(); }
    }
    xAxis(ctx, c.t.slice(from, to), (k) => x(from + k), left, right, h - 5);
    const at = mouse ? Math.min(to - 1, Math.max(from, from + Math.floor((mouse.x - left) / step))) : null;
    return { at, step };
  }, (v) => {
    if (v.at === null) return null;
    const i = v.at, lines = [`${minute(c.t[i])}`, `O ${c.o[i]}  H ${c.h[i]}  L ${c.l[i]}  C ${c.c[i]}`];
    for (const { trade, kind } of byBar.get(i) || []) lines.push(`${kind} ${trade.side} ${number(trade.qty, 4)} @ ${kind === "entry" ? trade.entry_price : trade.exit_price}` + (kind === "exit" ? `  ${number(trade.profit)}` : ""));
    return lines.join("\n");
  });
  const clamp = () => { count = Math.round(Math.max(20, Math.min(n, 2500, count))); from = Math.round(Math.max(0, Math.min(n - count, from))); };
  widget.canvas.addEventListener("wheel", (e) => {
    e.preventDefault();
    const share = e.offsetX / widget.canvas.clientWidth, before = count;
    count *= e.deltaY > 0 ? 1.2 : 1 / 1.2;
    clamp();
    from += (before - count) * share;
    clamp(); widget.paint(null);
  }, { passive: false });
  widget.canvas.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, from }; widget.canvas.setPointerCapture(e.pointerId); });
  widget.canvas.addEventListener("pointermove", (e) => { if (drag) { from = drag.from - ((e.clientX - drag.x) / widget.canvas.clientWidth) * count; clamp(); widget.paint(null); } });
  widget.canvas.addEventListener("pointerup", () => { drag = null; });
  return (bar) => { from = bar - count / 2; clamp(); widget.paint(null); };
}
function mark(ctx, x, y, up, color) {
  ctx.fillStyle = color;
  ctx.beginPath();
  const s = up ? 1 : -1;
  ctx.moveTo(x, y + 3 * s); ctx.lineTo(x - 4.5, y + 11 * s); ctx.lineTo(x + 4.5, y + 11 * s); ctx.closePath(); ctx.fill();
}

// ---- tables -------------------------------------------------------------------------------------

function table(columns, rows, { onPick, pageSize = 300 } = {}) {
  let sort = null, shown = pageSize;
  const body = $("tbody"), head = $("tr");
  const fill = () => {
    let list = rows.map((row, i) => ({ row, i }));
    if (sort) list.sort((a, b) => {
      const x = sort.col.value(a.row), y = sort.col.value(b.row);
      if (x === null || x === undefined) return 1;
      if (y === null || y === undefined) return -1;
      return (x < y ? -1 : x > y ? 1 : 0) * sort.dir;
    });
    body.replaceChildren(...list.slice(0, shown).map(({ row }) => {
      const tr = $("tr", { className: onPick ? "pick" : "" });
      for (const col of columns) {
        const td = $("td", { className: (col.left ? "l " : "") + (col.tone ? tone(col.value(row)) : ""), textContent: col.text(row), title: col.left ? col.text(row) : "" });
        tr.append(td);
      }
      if (onPick) tr.onclick = () => { body.querySelectorAll(".on").forEach((x) => x.classList.remove("on")); tr.classList.add("on"); onPick(row); };
      return tr;
    }));
    if (rows.length > shown) {
      const more = $("td", { colSpan: columns.length, className: "l soft", textContent: `${rows.length - shown} more … (click)` });
      more.onclick = () => { shown += pageSize * 4; fill(); };
      body.append($("tr", { className: "pick" }, more));
    }
  };
  for (const col of columns) {
    const th = $("th", { className: col.left ? "l" : "", textContent: col.title, title: col.help || "" });
    th.dataset.sort = "1";
    th.onclick = () => {
      sort = { col, dir: sort && sort.col === col ? -sort.dir : col.left ? 1 : -1 };
      head.querySelectorAll("th").forEach((x) => x.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", sort.dir < 0 ? "descending" : "ascending");
      fill();
    };
    head.append(th);
  }
  fill();
  return $("div", { className: "scroll" }, $("table", {}, $("thead", {}, head), body));
}

const metricColumn = (name) => ({ title: (INFO[name] || {}).title || name, help: (INFO[name] || {}).definition, tone: /return|profit|cagr/.test(name) && name !== "profit_factor", value: (r) => r.metrics ? r.metrics[name] : null, text: (r) => metric(name, r.metrics ? r.metrics[name] : null) });
const paramText = (p) => Object.entries(p).map(([k, v]) => `${k}=${v}`).join(" ");

function board(onPick) {
  const text = (title, f) => ({ title, left: true, value: f, text: f });
  const columns = [text("Strategy", (r) => r.strategy), text("Market", (r) => `${r.symbol} ${r.timeframe}`)];
  if (DATA.runs.some((r) => Object.keys(r.params).length)) columns.push(text("Inputs", (r) => paramText(r.params)));
  // What all share and is the usual need not be said.
  const rules = new Set(DATA.runs.map((r) => r.rules));
  if (rules.size > 1 || ![...rules].every((name) => ["tradingview", "backtesting_py"].includes(name))) columns.push(text("Rules", (r) => r.rules));
  columns.push(...DATA.board_metrics.map(metricColumn), text("Run", (r) => r.run.slice(0, 8)));
  return table(columns, DATA.runs, { onPick });
}

function heatmap(map) {
  const box = $("div", { className: "scroll" }), pick = $("select", { title: "metric" });
  for (const name of DATA.board_metrics) pick.append($("option", { value: name, textContent: (INFO[name] || {}).title || name, selected: name === map.metric }));
  const fill = () => {
    const name = pick.value, cells = new Map();
    let low = Infinity, high = -Infinity;
    for (const cell of map.cells) {
      const v = cell.metrics[name];
      cells.set(cell.x + "\u0000" + cell.y, { v, run: cell.run });
      if (v !== null && v !== undefined) { low = Math.min(low, v); high = Math.max(high, v); }
    }
    const good = (INFO[name] || {}).higher_is_better !== false;
    const rows = map.ys.map((yv) => $("tr", {}, $("th", { textContent: yv }), ...map.xs.map((xv) => {
      const cell = cells.get(xv + "\u0000" + yv), td = $("td");
      if (cell && cell.v !== null && cell.v !== undefined) {
        let k = high > low ? (cell.v - low) / (high - low) : 0.5;
        if (!good) k = 1 - k;
        td.style.background = `hsl(${Math.round(k * 150)} 60% ${matchMedia("(prefers-color-scheme: dark)").matches ? 28 : 80}%)`;
        td.textContent = map.xs.length <= 14 ? number(cell.v, 1) : "";
        td.title = `${map.x}=${xv} ${map.y}=${yv}\n${(INFO[name] || {}).title || name}: ${metric(name, cell.v)}\n${cell.run}`;
      }
      return td;
    })));
    box.replaceChildren($("table", { className: "heat" }, $("thead", {}, $("tr", {}, $("th", { textContent: `${map.y} \\ ${map.x}` }), ...map.xs.map((v) => $("th", { textContent: v })))), $("tbody", {}, ...rows)));
  };
  pick.onchange = fill;
  fill();
  return $("section", {}, $("h2", {}, `${map.strategy} on ${map.data}`, $("small", { textContent: "best over the other inputs" }), " ", pick), box);
}

function monthly(d) {
  const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
  const row = (y) => $("tr", {}, $("th", { className: "l", textContent: y.year }), ...y.months.map((v) => $("td", { className: tone(v), textContent: v === null ? "" : number(v, 1) })), $("td", { className: tone(y.total), textContent: number(y.total, 1) }));
  return $("div", { className: "scroll" }, $("table", {}, $("thead", {}, $("tr", {}, $("th", { className: "l", textContent: "Year" }), ...months.map((m) => $("th", { textContent: m })), $("th", { textContent: "Year" }))), $("tbody", {}, ...d.monthly.map(row))));
}

function detail(d) {
  const box = document.getElementById("detail");
  const run = DATA.runs.find((r) => r.run === d.run);
  const section = (title, note, ...kids) => { const s = $("section", {}, $("h2", {}, title, note ? $("small", { textContent: note }) : null), ...kids); return s; };
  const cards = $("div", { className: "cards" });
  for (const name of DATA.card_metrics) {
    const v = run.metrics[name], toned = metricColumn(name).tone;
    cards.append($("div", { title: (INFO[name] || {}).definition || "" }, $("span", { textContent: (INFO[name] || {}).title || name }), $("b", { className: toned ? tone(v) : "", textContent: metric(name, v) })));
  }
  const equity = section("Equity and drawdown", "dashed: buy and hold"), candles = section("Trades on candles", "wheel zooms, drag moves, a click on a trade below goes there");
  box.replaceChildren(
    section(`${run.strategy} · ${run.symbol} ${run.timeframe}`, `${paramText(run.params)}  rules: ${run.rules}  run ${run.run}`, cards),
    equity, candles);
  equityChart(equity, d);
  const goto = candleChart(candles, d);
  const col = (title, f, text, extra = {}) => ({ title, value: f, text: text || ((r) => f(r)), ...extra });
  const trades = table([
    col("#", (t) => t.n), col("Side", (t) => t.side, null, { left: true }), col("Entry", (t) => t.entry_ms, (t) => minute(t.entry_ms)), col("Price", (t) => t.entry_price, (t) => String(t.entry_price)),
    col("Exit", (t) => t.exit_ms, (t) => (t.exit_ms === null ? "open" : minute(t.exit_ms))), col("Price", (t) => t.exit_price, (t) => (t.exit_price === null ? "–" : String(t.exit_price))),
    col("Quantity", (t) => t.qty, (t) => String(t.qty)), col("Net profit", (t) => t.profit, (t) => number(t.profit), { tone: true }), col("%", (t) => t.profit_pct, (t) => number(t.profit_pct), { tone: true }),
    col("Run-up", (t) => t.max_runup, (t) => number(t.max_runup)), col("Drawdown", (t) => t.max_drawdown, (t) => number(t.max_drawdown)), col("Entry signal", (t) => t.entry, null, { left: true }), col("Exit signal", (t) => t.exit, null, { left: true }),
  ], d.trades, { onPick: goto ? (t) => goto(t.entry_bar) : undefined });
  const drops = table([
    col("Depth", (x) => -x.depth_pct, (x) => "-" + number(x.depth_pct) + " %", { tone: true }), col("Money", (x) => x.depth, (x) => number(x.depth)), col("From", (x) => x.start_ms, (x) => day(x.start_ms)),
    col("Lowest", (x) => x.trough_ms, (x) => day(x.trough_ms)), col("Recovered", (x) => x.end_ms, (x) => (x.end_ms === null ? "not yet" : day(x.end_ms))), col("Length", (x) => x.length_ms, (x) => duration(x.length_ms)),
  ], d.drawdowns);
  box.append($("div", { className: "two" }, section("Monthly returns", "percent of equity", monthly(d)), section("Deepest drawdowns", "on bar closes", drops)), section("Trades", `${d.trades.length}` + (d.trades_total > d.trades.length ? ` of ${d.trades_total}` : ""), trades));
}

function main() {
  const root = document.querySelector("main");
  const ok = DATA.runs.filter((r) => r.status === "ok");
  root.append($("header", {}, $("h1", { textContent: DATA.title }), $("p", { textContent: `${DATA.totals.ok} run${DATA.totals.ok === 1 ? "" : "s"} ok, ${DATA.totals.failed} failed · ${DATA.command} · ${DATA.engine} · ${DATA.made}` })));
  const byRun = Object.fromEntries(DATA.details.map((d) => [d.run, d]));
  if (DATA.runs.length > 1) {
    const note = DATA.totals.ok > ok.length ? `the best ${ok.length} of ${DATA.totals.ok}` : `${ok.length} runs`;
    root.append($("section", {}, $("h2", {}, "Leaderboard", $("small", { textContent: `${note}; a click shows a run that has details (the first ${DATA.details.length})` })),
      board((r) => { if (byRun[r.run]) { detail(byRun[r.run]); document.getElementById("detail").scrollIntoView({ behavior: "smooth" }); } })));
  }
  for (const map of DATA.heatmaps) root.append(heatmap(map));
  if (DATA.spread) root.append($("section", {}, $("h2", {}, "Broker rules", $("small", { textContent: "how far the result moves with the rules alone" })), table([
    { title: "Strategy", left: true, value: (r) => r.strategy, text: (r) => r.strategy }, { title: "Market", left: true, value: (r) => r.market, text: (r) => r.market },
    ...DATA.spread.presets.map((p, k) => ({ title: p, tone: true, value: (r) => r.returns[k], text: (r) => (r.returns[k] === null ? "–" : number(r.returns[k]) + " %") })),
    { title: "Spread", value: (r) => r.spread, text: (r) => (r.spread === null ? "–" : number(r.spread) + " points") },
  ], DATA.spread.rows)));
  root.append($("div", { id: "detail" }));
  if (DATA.details.length) detail(DATA.details[0]);
  if (DATA.failures.length) root.append($("section", {}, $("h2", {}, "Failed runs", $("small", { textContent: `${DATA.totals.failed}` })), $("div", { className: "scroll" }, $("table", {}, $("tbody", {}, ...DATA.failures.map((f) => $("tr", {}, $("td", { className: "l", textContent: f.strategy }), $("td", { className: "l", textContent: f.market }), $("td", { className: "error", textContent: `${f.status}: ${f.error}` }))))))));
  root.append($("footer", { textContent: "Prices in quote currency, times UTC. Every column's definition is in its tooltip. Past results say little about the future." }));
}
main();
