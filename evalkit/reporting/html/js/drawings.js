/* The charts: data for the Vega-Lite specs that the page brings. */

const drawn = new Map();
let waiting = Promise.resolve();

/** Draws a chart with these rows in place of what is there; one after the other, so that the last one stays. */
function chart(id, spec, rows) {
  const place = byId(id);
  const whole = structuredClone(spec);
  whole.datasets = { rows };
  if (whole.height.step) whole.height = whole.height.step * rows.length; // Vega warns of steps in a chart that fits
  const narrow = place.clientWidth < 560;
  for (const layer of whole.layer) {
    const axis = layer.encoding.y?.axis;
    if (axis?.labelLimit) axis.labelLimit = narrow ? 150 : Math.min(360, place.clientWidth * 0.4);
  }
  waiting = waiting.then(async () => {
    drawn.get(id)?.finalize();
    drawn.set(id, await vegaEmbed(place, whole, { renderer: "svg", actions: false, logLevel: 1 }));
  });
  return waiting;
}

/** One row a cell, with what every chart of cells shows of it. */
function cellRows(unit, metric, cells) {
  const board = unit.boards[metric];
  if (!board) return [];
  return cells.filter((cell) => has(board.score[cell])).map((cell) => {
    const interval = between(board.ci_low[cell], board.ci_high[cell]);
    const ranks = has(board.rank_low[cell]) ? ` (${board.rank_low[cell]}–${board.rank_high[cell]})` : "";
    return {
      cell,
      label: cellName(unit, cell),
      score: board.score[cell],
      ci_low: board.ci_low[cell],
      ci_high: board.ci_high[cell],
      standing: standing(unit, metric, cell),
      told: fixed(board.score[cell]) + (interval && ` (${interval})`),
      ranked: has(board.rank[cell]),
      rank: has(board.rank[cell]) ? `${board.rank[cell]}${ranks}` : "none: it covers too few items",
    };
  });
}

function drawForest(unit, metric, cells) {
  const rows = cellRows(unit, metric, cells).sort((a, b) => b.ranked - a.ranked || gain(unit, metric, b.score - a.score));
  byId("s-forest").hidden = rows.length === 0;
  if (rows.length) chart("forest", page.charts.forest, rows);
}

function drawGains(unit, metric) {
  const found = unit.gains[metric] ?? [];
  byId("s-gains").hidden = found.length === 0;
  if (!found.length) return;
  const rows = found.filter((row) => has(row.difference)).map((row) => ({
    ...row,
    label: `${row.model === "all" ? "all embedders" : row.model} + ${row.reranker}`,
    sure: has(row.p_holm) && row.p_holm < 0.05 ? (row.difference > 0 ? "gain" : "loss") : "unsure",
    told: `${signed(row.difference)} (${signed(row.ci_low)} to ${signed(row.ci_high)})`,
  }));
  chart("gains", page.charts.gains, rows);
}

/* Quality against cost */

const COSTS = [
  ["latency_ms", "latency, ms a query (median)", "log"],
  ["usd_queries", "USD per 1,000 queries", "linear"],
  ["usd", "USD per million tokens", "linear"],
  ["dim", "dimensions of the vectors", "log"],
  ["parameters", "parameters, millions", "symlog"],
  ["memory_mb", "memory, MB", "log"],
];

/** The costs by which this task's cells differ. */
const costsOf = (unit) => COSTS.filter(([key]) => key in unit.cells && new Set(unit.cells[key].filter(has)).size > 1);

function drawTrade(unit, metric, cells) {
  const offered = costsOf(unit);
  const all = cellRows(unit, metric, cells);
  byId("s-trade").hidden = offered.length === 0 || all.length === 0;
  if (byId("s-trade").hidden) return;
  const select = byId("cost");
  fill(select, offered.map(([key, title]) => [key, title]), select.value);
  const [key, title, scale] = offered.find(([name]) => name === select.value);
  const rows = all.filter((row) => has(unit.cells[key][row.cell]))
    .map((row) => ({ ...row, cost: unit.cells[key][row.cell], cost_told: counted(unit.cells[key][row.cell]) }))
    .sort((a, b) => a.cost - b.cost || gain(unit, metric, b.score - a.score));
  let best = -Infinity;
  for (const row of rows) {
    const score = gain(unit, metric, row.score);
    row.front = row.ranked && score > best;
    if (row.ranked) best = Math.max(best, score);
    // Names grow into the chart, from either side; on a narrow one they would cover each other.
    row.named = row.front && byId("trade").clientWidth > 560 && (row.cost * row.cost > rows[0].cost * rows.at(-1).cost ? "right" : "left");
  }
  const spec = structuredClone(page.charts.trade);
  for (const layer of spec.layer) {
    layer.encoding.x = { ...layer.encoding.x, title, scale: { type: scale, nice: false, padding: 24, ...(scale === "log" ? {} : { zero: false }) } };
  }
  chart("trade", spec, rows);
  const front = rows.filter((row) => row.front).map((row) => `${row.label} (${row.cost_told}; ${fixed(row.score)})`);
  const left = all.length - rows.length;
  byId("trade-note").textContent = `On the front, cheapest first: ${front.join(", ")}.`
    + (left ? ` Not shown, since this is not known of them: ${left} cells.` : "");
}
