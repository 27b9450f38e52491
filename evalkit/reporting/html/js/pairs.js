/* STS: predicted similarity against gold, and the pairs that are furthest from their place. */

const FURTHEST = 10;

async function drawPairs(unit) {
  byId("s-pairs").hidden = !unit.pairs || !unit.evidence;
  if (byId("s-pairs").hidden) return;
  const data = await unpack(unit.evidence);
  const select = byId("pairs-model");
  const models = unit.cells.model.map((name, cell) => [cell, name]).filter(([cell]) => data.predicted[cell]);
  fill(select, models, select.value);
  const predicted = data.predicted[Number(select.value)];
  const rows = data.id.map((id, row) => ({
    id, gold: data.gold[row], predicted: predicted[row],
    sentence1: data.sentence1?.[row] ?? "not kept", sentence2: data.sentence2?.[row] ?? "not kept",
  })).filter((row) => has(row.predicted) && has(row.gold));
  chart("scatter", page.charts.scatter, rows);
  const undefinedOnes = data.id.length - rows.length;
  byId("pairs-note").textContent = (data.total > data.id.length
    ? `A random sample of ${data.id.length} of ${data.total} pairs. ` : "")
    + (undefinedOnes ? `${undefinedOnes} pairs have no similarity: the model knows no word of one side. ` : "")
    + (data.sentence1 ? "Below: the pairs whose place among all by the model is furthest from their place by gold." : "");
  listFurthest(rows, Boolean(data.sentence1));
}

/** Ranks from 1, ties by their mean, as Spearman's correlation has them. */
function ranks(values) {
  const order = values.map((_, row) => row).sort((a, b) => values[a] - values[b]);
  const found = new Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]] === values[order[from]]) to += 1;
    for (let place = from; place <= to; place += 1) found[order[place]] = (from + to) / 2 + 1;
    from = to + 1;
  }
  return found;
}

function listFurthest(rows, kept) {
  byId("pairs").hidden = !kept;
  if (!kept) return;
  const gold = ranks(rows.map((row) => row.gold));
  const predicted = ranks(rows.map((row) => row.predicted));
  const off = (row) => Math.abs(gold[row] - predicted[row]);
  const furthest = rows.map((_, row) => row).sort((a, b) => off(b) - off(a) || a - b).slice(0, FURTHEST);
  const head = ["First sentence", "Second sentence", "Gold", "Predicted", "Place by gold", "Place by the model"];
  byId("pairs").replaceChildren(
    el("caption", {}, `Places count from the least similar, 1, to the most, ${rows.length}.`),
    el("thead", {}, el("tr", {}, ...head.map((title, place) => el("th", { scope: "col", class: place > 1 ? "num" : null }, title)))),
    el("tbody", {}, ...furthest.map((row) => el("tr", {},
      el("td", {}, rows[row].sentence1), el("td", {}, rows[row].sentence2),
      el("td", { class: "num" }, counted(rows[row].gold)), el("td", { class: "num" }, fixed(rows[row].predicted)),
      el("td", { class: "num" }, String(Math.round(gold[row]))), el("td", { class: "num" }, String(Math.round(predicted[row])))))));
}
