"use strict";
/* What every part of the page uses: the data, elements, numbers in words, and the state that is shown. */

const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const shown = { unit: null, metric: null, filters: {}, sort: { key: "score", down: true } };

/** An element. Children that are text become text nodes, so nothing in them is markup. */
function el(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") node.addEventListener(key, value);
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

const has = (value) => value !== null && value !== undefined;
const fixed = (value, digits = 3) => (has(value) ? value.toFixed(digits).replace("-", "−") : "–");
const signed = (value, digits = 3) => (has(value) ? (value > 0 ? "+" : "") + fixed(value, digits) : "–");
const counted = (value) => (has(value) ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : "–");
const between = (low, high, digits = 3) => (has(low) ? `${fixed(low, digits)}–${fixed(high, digits)}` : "");

/** A cell in words; `short` leaves out what only tells specs apart by folder. */
function cellName(unit, cell) {
  const model = unit.cells.model[cell];
  const reranker = unit.cells.reranker[cell];
  return reranker === "none" ? model : `${model} + ${reranker}`;
}

const cellNumbers = (unit) => unit.cells.model.map((_, cell) => cell);
const metricOf = (unit, metric) => unit.metrics.find((each) => each.name === metric) ?? { label: metric, sign: 1, k: null };
const metricLabel = (unit, metric) => metricOf(unit, metric).label;
/** A score as a number that is higher the better it is. */
const gain = (unit, metric, score) => metricOf(unit, metric).sign * score;

/** best, tied or other, by the paired test; other where there is none. */
function standing(unit, metric, cell) {
  const board = unit.boards[metric];
  if (!board || !has(board.score[cell])) return "other";
  if (board.rank[cell] === 1) return "best";
  return board.tied[cell] ? "tied" : "other";
}

/** Fills a select with [value, text] pairs, and keeps what was chosen if it is still there. */
function fill(select, options, chosen) {
  select.replaceChildren(...options.map(([value, text]) => el("option", { value }, text)));
  const values = options.map(([value]) => String(value));
  if (has(chosen) && values.includes(String(chosen))) select.value = String(chosen);
}

/** A button that is a column's heading, and tells which way the column is sorted. */
function sortHeading(text, sorted, attributes, act) {
  return el(
    "th",
    { scope: "col", "aria-sort": sorted, ...attributes },
    el("button", { type: "button", class: "sort", click: act }, text),
  );
}

/** JSON that was put into the page as gzip and base64. Each is unpacked once. */
const unpacked = new Map();
function unpack(id) {
  if (!unpacked.has(id)) {
    const bytes = Uint8Array.from(atob(byId(id).textContent.trim()), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    unpacked.set(id, new Response(stream).json());
  }
  return unpacked.get(id);
}
