/* Tables shaded by value: the grid of a task, and all tasks side by side. */

const DARKEST = 60; // per cent of the colour: text stays readable on it

/** A cell of such a table; `share` from 0 (worst) to 1 (best). */
function shaded(value, share, standing, small) {
  if (!has(value)) return el("td", {}, small ?? "–");
  const cell = el("td", { class: `shade ${standing ?? ""}` }, fixed(value), small && el("small", {}, small));
  cell.style.setProperty("--share", Math.round(DARKEST * share));
  return cell;
}

/** Where each value stands between the worst and the best; `sign` is -1 where less is better. */
function shares(values, sign) {
  const found = values.filter(has);
  const [low, high] = [Math.min(...found), Math.max(...found)];
  const from = sign > 0 ? low : high;
  return (value) => (high > low ? Math.abs(value - from) / (high - low) : 0.5);
}

function drawHeat(unit, metric) {
  const rerankers = [...new Set(unit.cells.reranker)];
  byId("s-heat").hidden = rerankers.length < 2;
  if (rerankers.length < 2) return;
  const ordered = ["none", ...rerankers.filter((name) => name !== "none")].filter((name) => rerankers.includes(name));
  const models = [...new Set(unit.cells.model)];
  const board = unit.boards[metric];
  const share = shares(board?.score ?? [], metricOf(unit, metric).sign);
  const at = new Map(cellNumbers(unit).map((cell) => [`${unit.cells.model[cell]}\0${unit.cells.reranker[cell]}`, cell]));
  const head = el("tr", {}, el("th", { scope: "col" }, "Embedder"),
    ...ordered.map((name) => el("th", { scope: "col", class: "num" }, name === "none" ? "no reranker" : name)));
  const rows = models.map((model) => el("tr", {}, el("th", { scope: "row" }, model), ...ordered.map((reranker) => {
    const cell = at.get(`${model}\0${reranker}`);
    if (cell === undefined) return el("td", {}, "–");
    const value = board?.score[cell];
    if (!has(value)) return el("td", {}, has(unit.cells.reason?.[cell]) ? "failed" : "–");
    const place = standing(unit, metric, cell);
    return shaded(value, share(value), place === "other" ? "" : place, place === "other" ? null : place);
  })));
  byId("heat").replaceChildren(el("caption", {}, `${metricLabel(unit, metric)}, ${unit.title}`),
    el("thead", {}, head), el("tbody", {}, ...rows));
}

/* All tasks: drawn once, since it shows each task's main metric. */

function drawAcross() {
  const units = page.units.filter((unit) => unit.main);
  const enough = units.length > 1 && page.across;
  byId("s-across").hidden = !enough;
  if (!enough) return;
  const columns = units.map((unit) => {
    const scores = unit.boards[unit.main].score;
    const at = new Map(cellNumbers(unit).map((cell) => [cellName(unit, cell), cell]));
    return { unit, scores, at, share: shares(scores, metricOf(unit, unit.main).sign) };
  });
  const rows = page.across.rows;
  const means = page.across.columns.filter((column) => rows.some((row) => has(row[column.key])));
  const head = el("tr", {}, el("th", { scope: "col" }, "Cell"),
    ...columns.map(({ unit }) => el("th", { scope: "col", class: "num" }, `${unit.title}: ${metricLabel(unit, unit.main)}`)),
    ...means.map((column) => el("th", { scope: "col", class: "num" }, column.title)));
  const body = rows.map((row) => {
    const name = row.reranker === "none" ? row.model : `${row.model} + ${row.reranker}`;
    return el("tr", {}, el("th", { scope: "row" }, name), ...columns.map(({ unit, scores, at, share }) => {
      const cell = at.get(name);
      if (cell === undefined) return el("td", {}, "–");
      const place = standing(unit, unit.main, cell);
      return shaded(scores[cell], share(scores[cell]), place === "other" ? "" : place);
    }), ...means.map((column) => el("td", { class: "num" }, has(row[column.key]) ? fixed(row[column.key], column.digits) : "–",
      has(row[`${column.key}_low`]) && el("small", {}, between(row[`${column.key}_low`], row[`${column.key}_high`], column.digits)))));
  });
  byId("across").replaceChildren(el("thead", {}, head), el("tbody", {}, ...body));
  byId("across-about").textContent = page.across.about;
}

function drawFailed(unit) {
  const failed = cellNumbers(unit).filter((cell) => has(unit.cells.reason?.[cell]));
  byId("s-failed").hidden = failed.length === 0;
  byId("failed").replaceChildren(
    el("thead", {}, el("tr", {}, ...["Cell", "Reason"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, ...failed.map((cell) => el("tr", {}, el("th", { scope: "row" }, cellName(unit, cell)),
      el("td", {}, unit.cells.reason[cell])))));
}
