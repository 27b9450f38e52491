/* The leaderboard: its columns, sorting and filters. The filters hold for the charts too. */

const COLUMNS = [
  { key: "rank", title: "Rank", num: true },
  { key: "model", title: "Embedder", head: true },
  { key: "reranker", title: "Reranker", needs: (unit) => unit.cells.reranker.some((name) => name !== "none") },
  { key: "score", num: true },
  { key: "difference", title: "Behind the best", num: true, needs: (unit, board) => board.difference.some(has) },
  { key: "metrics" },
  { key: "family", title: "Family" },
  { key: "licence", title: "Licence" },
  { key: "dim", title: "Dim.", num: true },
  { key: "parameters", title: "Params (M)", num: true },
  { key: "latency_ms", title: "Latency (ms)", num: true },
  { key: "usd_queries", title: "USD per 1,000 queries", num: true, needs: (unit) => (unit.cells.usd_queries ?? []).some((usd) => usd > 0) },
  { key: "memory_mb", title: "Memory (MB)", num: true },
  { key: "usd", title: "USD per M tokens", num: true, needs: (unit) => unit.cells.usd.some((usd) => usd > 0) },
];

/** The columns of a task's table that have anything in them, the other metrics among them. */
function boardColumns(unit, metric) {
  const board = unit.boards[metric] ?? { difference: [] };
  const cut = metricOf(unit, metric).k;
  const others = unit.metrics.filter((each) => each.name !== metric && each.k === cut).slice(0, 4);
  return COLUMNS.flatMap((column) => {
    if (column.key === "metrics") return others.map((each) => ({ key: each.name, title: each.label, num: true }));
    if (column.key === "score") return [{ ...column, title: metricLabel(unit, metric) }];
    const filled = column.needs
      ? column.needs(unit, board)
      : (unit.cells[column.key] ?? board[column.key] ?? []).some(has);
    return filled ? [column] : [];
  });
}

/** What a column sorts by. */
function sortValue(unit, metric, key, cell) {
  if (key in unit.cells) return unit.cells[key][cell];
  if (key in unit.boards) return unit.boards[key].score[cell];
  return unit.boards[metric]?.[key][cell];
}

function boardCell(unit, metric, column, cell) {
  const board = unit.boards[metric];
  const value = sortValue(unit, metric, column.key, cell);
  if (column.key === "score") {
    const place = standing(unit, metric, cell);
    const mark = place === "other" ? null : el("span", { class: `mark ${place}` }, place);
    const interval = between(board.ci_low[cell], board.ci_high[cell]);
    return el("td", { class: "num" }, mark, mark && " ", fixed(value), interval && el("br"), interval && el("small", {}, interval));
  }
  if (column.key === "difference") {
    if (!value) return el("td", { class: "num" }, has(value) ? "–" : "");
    const interval = has(board.diff_low[cell]) && `${fixed(board.diff_low[cell])} to ${fixed(board.diff_high[cell])}`;
    return el("td", { class: "num" }, fixed(value), interval && el("br"), interval && el("small", {}, interval));
  }
  if (column.key === "rank") {
    const spread = has(board.rank_low[cell]) && `${board.rank_low[cell]}–${board.rank_high[cell]}`;
    return el("td", { class: "num" }, has(value) ? String(value) : "–", spread && el("br"), spread && el("small", {}, spread));
  }
  if (column.head) return el("th", { scope: "row" }, value);
  if (["dim", "usd", "usd_queries", "memory_mb"].includes(column.key)) return el("td", { class: "num" }, counted(value));
  if (column.key === "parameters") return el("td", { class: "num" }, value === 0 ? "0" : counted(value));
  if (column.key === "latency_ms") {
    const low = unit.cells.latency_low_ms[cell];
    const spread = has(low) && `${counted(low)}–${counted(unit.cells.latency_high_ms[cell])}`;
    return el("td", { class: "num" }, has(value) ? counted(value) : "–", spread && el("br"), spread && el("small", {}, spread));
  }
  if (column.num) return el("td", { class: "num" }, fixed(value));
  return el("td", { class: column.key === "reranker" ? "name" : "word" }, value === "none" ? "–" : has(value) ? value : "not known");
}

/** The cells that the filters leave, in the order chosen. Failed ones come last; before them what has no value, and
 * by a score those over too few items for a rank. */
function boardCells(unit, metric) {
  const { key, down } = shown.sort;
  const value = (cell) => sortValue(unit, metric, key, cell);
  const board = unit.boards[key === "score" ? metric : key];
  const unranked = (cell) => (board && !has(board.rank[cell]) ? 1 : 0);
  const failed = (cell) => (unit.cells.reason && has(unit.cells.reason[cell]) ? 1 : 0);
  return cellNumbers(unit)
    .filter((cell) => passes(unit, metric, cell))
    .sort((a, b) => {
      const [x, y] = [value(a), value(b)];
      if (failed(a) !== failed(b)) return failed(a) - failed(b);
      if (!has(x) || !has(y)) return has(y) - has(x) || a - b;
      if (unranked(a) !== unranked(b)) return unranked(a) - unranked(b);
      const order = typeof x === "string" ? x.localeCompare(y) : x - y;
      return (down ? -order : order) || a - b;
    });
}

function drawBoard(unit, metric, cells) {
  const columns = boardColumns(unit, metric);
  const table = byId("board");
  const head = columns.map((column) => {
    const now = shown.sort.key === column.key && (shown.sort.down ? "descending" : "ascending");
    return sortHeading(column.title, now, { class: column.num ? "num" : null }, () => sortBoard(column));
  });
  const rows = cells.map((cell) => {
    const reason = unit.cells.reason?.[cell];
    if (has(reason)) {
      const name = cellName(unit, cell);
      return el("tr", {}, el("td", { class: "num" }, "–"), el("th", { scope: "row" }, name),
        el("td", { class: "reason", colspan: columns.length - 2 }, `Failed: ${reason}`));
    }
    return el("tr", {}, ...columns.map((column) => boardCell(unit, metric, column, cell)));
  });
  table.replaceChildren(el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows));
  const all = unit.cells.model.length;
  byId("board-count").textContent = cells.length === all ? `${all} cells` : `${cells.length} of ${all} cells`;
  byId("board-about").textContent = aboutBoard(unit, metric);
}

function aboutBoard(unit, metric) {
  const excluded = unit.excluded ? ` ${unit.excluded} more have no relevant document and are left out.` : "";
  const power = unit.power[metric] ? ` ${unit.power[metric]}` : "";
  return `${unit.title}: ${unit.size}.${excluded}${power}`;
}

/** Whether a metric's best scores come first when the highest do. */
const bestFirst = (unit, metric) => metricOf(unit, metric).sign > 0;

function sortBoard(column) {
  const again = shown.sort.key === column.key;
  const { unit, metric } = shown;
  const scores = column.key === "score" ? metric : column.key;
  const best = scores in unit.boards ? bestFirst(unit, scores) : column.num && column.key !== "rank" && column.key !== "difference";
  shown.sort = { key: column.key, down: again ? !shown.sort.down : best };
  draw();
  const place = boardColumns(shown.unit, shown.metric).findIndex((each) => each.key === column.key);
  byId("board").querySelectorAll("button.sort")[place]?.focus();
}

/* Filters */

const CHOICES = [["family", "Family"], ["reranker", "Reranker"], ["licence", "Licence"]];
const LIMITS = [["dim", "Most dimensions"], ["parameters", "Most parameters (M)"]];

function passes(unit, metric, cell) {
  const { text, tied, ...rest } = shown.filters;
  if (text && !cellName(unit, cell).toLowerCase().includes(text.toLowerCase())) return false;
  if (tied && standing(unit, metric, cell) === "other") return false;
  for (const [key] of CHOICES) if (rest[key] && unit.cells[key][cell] !== rest[key]) return false;
  for (const [key] of LIMITS) {
    const value = unit.cells[key][cell];
    // What is not known may be larger: it does not pass a limit.
    if (rest[key] && !(has(value) && value <= Number(rest[key]))) return false;
  }
  return true;
}

/** The filters that can tell this task's cells apart. */
function makeFilters(unit) {
  shown.filters = {};
  const set = (key) => (event) => {
    shown.filters[key] = event.target.type === "checkbox" ? event.target.checked : event.target.value;
    draw();
  };
  const parts = [el("label", {}, "Name contains", el("input", { type: "search", name: "text", input: set("text") }))];
  for (const [key, title] of CHOICES) {
    const values = [...new Set(unit.cells[key].filter(has))];
    if (values.length < 2) continue;
    const select = el("select", { name: key, change: set(key) });
    fill(select, [["", "all"], ...values.map((value) => [value, value === "none" ? "no reranker" : value])]);
    parts.push(el("label", {}, title, select));
  }
  for (const [key, title] of LIMITS) {
    if (new Set(unit.cells[key].filter(has)).size < 2) continue;
    parts.push(el("label", {}, title, el("input", { type: "number", name: key, min: 0, step: "any", input: set(key) })));
  }
  if (Object.values(unit.boards).some((board) => board.tied.some(has))) {
    const box = el("input", { type: "checkbox", name: "tied", change: set("tied") });
    parts.push(el("label", { class: "check" }, box, "only the best and what ties with it"));
  }
  byId("filters").replaceChildren(...parts);
}
