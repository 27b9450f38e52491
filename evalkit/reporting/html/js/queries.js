/* Query by query: which queries are shown, and in what order. What a query's rankings look like is in lists.js. */

const PAGE = 50;
const ORDERS = [
  ["hard", "hardest first (mean over all cells)"],
  ["wins", "where A wins most over B"],
  ["losses", "where A loses most to B"],
  ["data", "as in the data"],
];
const asked = { unit: null, data: null, a: 0, b: 0, order: "hard", text: "", count: PAGE, query: null, open: null };

/** Draws the part for a task, or says why there is none. The evidence is unpacked when this first comes into view. */
async function drawQueries(unit, metric) {
  byId("s-queries").hidden = !unit.ranks;
  if (byId("s-queries").hidden || !asked.seen) return;
  if (!unit.evidence) {
    byId("queries").replaceChildren(el("p", { class: "notice" },
      "This run was kept without its evidence (the folder “evidence” with rankings and texts), so queries cannot be looked at."));
    return;
  }
  const data = await unpack(unit.evidence);
  if (shown.unit !== unit || shown.metric !== metric) return;
  if (asked.unit !== unit) startQueries(unit, data);
  listQueries(metric);
}

function startQueries(unit, data) {
  if (!data.judged) {
    data.judged = data.queries.id.map(() => new Map());
    for (let at = 0; at < data.grades.length; at += 3) data.judged[data.grades[at]].set(data.grades[at + 1], data.grades[at + 2]);
  }
  const ranked = cellNumbers(unit).filter((cell) => data.ranked[cell]);
  // The best, and the best with another reranker or none: the pair one asks about first.
  const other = ranked.find((cell) => unit.cells.reranker[cell] !== unit.cells.reranker[ranked[0]]) ?? ranked[1] ?? ranked[0];
  Object.assign(asked, { unit, data, a: ranked[0], b: other, text: "", count: PAGE, query: null, order: "hard" });
  const cells = ranked.map((cell) => [cell, cellName(unit, cell)]);
  const again = (key, number) => (event) => {
    asked[key] = number ? Number(event.target.value) : event.target.value;
    asked.count = PAGE;
    if (number) asked.open = null;
    listQueries(shown.metric);
    if (number && asked.query !== null) showQuery(asked.query);
  };
  const select = (id, options, chosen, act) => {
    const node = el("select", { id, change: act });
    fill(node, options, chosen);
    return node;
  };
  byId("queries").replaceChildren(
    el("p", { class: "soft" }, "Choose two cells, A and B, and a query: what each cell retrieved, in which order, and what the reranker moved. ",
      data.trimmed ? `Of long passages the first ${data.trimmed} characters are shown.` : null),
    el("div", { class: "pick" },
      el("label", {}, "A", select("cell-a", cells, asked.a, again("a", true))),
      el("label", {}, "B", select("cell-b", cells, asked.b, again("b", true))),
      el("label", {}, "Order", select("order", ORDERS, asked.order, again("order"))),
      el("label", {}, "Search the queries", el("input", { type: "search", id: "search", input: again("text") }))),
    el("p", { id: "query-count", role: "status" }),
    el("div", { class: "split" },
      el("div", {},
        el("div", { class: "found wide", role: "region", tabindex: "0", "aria-label": "Queries" }, el("table", { id: "query-table" })),
        el("p", {}, el("button", { type: "button", class: "plain", id: "more", click: () => { asked.count += PAGE; listQueries(shown.metric); } }, "Show more"))),
      el("div", { class: "panel", id: "query", tabindex: "-1" },
        el("p", { class: "soft" }, "Choose a query to see its rankings."))),
    el("div", { id: "lists", class: "lists" }));
}

/** A query's value in a cell, or null: undefined, or not kept. */
function queryValue(metric, cell, query) {
  const value = asked.data.values[metric]?.[cell]?.[query];
  return has(value) && value >= 0 ? value / asked.data.scale : null;
}

function queryMean(metric, query) {
  let [sum, count] = [0, 0];
  for (const cell of cellNumbers(asked.unit)) {
    const value = queryValue(metric, cell, query);
    if (value !== null) [sum, count] = [sum + value, count + 1];
  }
  return count ? sum / count : null;
}

function listQueries(metric) {
  const { data, a, b, order } = asked;
  const text = asked.text.trim().toLowerCase();
  let rows = data.queries.text.map((words, query) => ({ query, words }))
    .filter(({ query, words }) => !text || words.toLowerCase().includes(text) || data.queries.id[query].toLowerCase().includes(text));
  const { sign } = metricOf(asked.unit, metric);
  for (const row of rows) {
    row.mean = queryMean(metric, row.query);
    row.a = queryValue(metric, a, row.query);
    row.b = queryValue(metric, b, row.query);
    row.gap = has(row.a) && has(row.b) ? sign * (row.a - row.b) : null; // how much better A is
  }
  const compared = rows.filter((row) => row.gap !== null);
  const won = compared.filter((row) => row.gap > 0).length;
  const lost = compared.filter((row) => row.gap < 0).length;
  if (order === "hard") rows.sort((x, y) => sign * ((x.mean ?? sign * 2) - (y.mean ?? sign * 2)) || x.query - y.query);
  if (order === "wins") rows = compared.filter((row) => row.gap > 0).sort((x, y) => y.gap - x.gap || x.query - y.query);
  if (order === "losses") rows = compared.filter((row) => row.gap < 0).sort((x, y) => x.gap - y.gap || x.query - y.query);
  byId("query-count").textContent = `${rows.length} of ${data.queries.id.length} queries. `
    + `${metricLabel(asked.unit, metric)}: A is better on ${won}, worse on ${lost}, equal on ${compared.length - won - lost}`
    + (text ? " of those found." : ".");
  const head = ["Query", "Mean", "A", "B", "A − B"];
  byId("query-table").replaceChildren(
    el("thead", {}, el("tr", {}, ...head.map((title, place) => el("th", { scope: "col", class: place ? "num" : null }, title)))),
    el("tbody", {}, ...rows.slice(0, asked.count).map((row) => el("tr", { "aria-current": asked.query === row.query ? "true" : null, "data-query": row.query },
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", click: () => showQuery(row.query, true) }, row.words || data.queries.id[row.query])),
      el("td", { class: "num" }, fixed(row.mean, 2)), el("td", { class: "num" }, fixed(row.a, 2)),
      el("td", { class: "num" }, fixed(row.b, 2)), el("td", { class: "num" }, signed(row.gap === null ? null : sign * row.gap, 2))))));
  byId("more").hidden = rows.length <= asked.count;
}
