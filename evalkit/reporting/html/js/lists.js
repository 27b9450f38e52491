/* One query: where its relevant passages are in every cell, and the rankings themselves. */

/** Rows of the passages that a cell ranked for a query, best first. */
function rankedBy(cell, query) {
  const { ranked, depth } = asked.data;
  return ranked[cell] ? ranked[cell].slice(query * depth, (query + 1) * depth).filter((row) => row >= 0) : [];
}

function showQuery(query, move) {
  const { data, unit } = asked;
  if (asked.query !== query || asked.open === null) asked.open = new Set([asked.a, asked.b]);
  asked.query = query;
  for (const row of byId("query-table").querySelectorAll("tr[data-query]")) {
    if (Number(row.dataset.query) === query) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
  }
  const judged = data.judged[query];
  const tags = Object.entries(data.queries.tags[query]).map(([key, value]) => `${key}: ${value}`).join(", ");
  const panel = byId("query");
  panel.replaceChildren(
    el("h3", {}, data.queries.text[query]),
    el("p", { class: "soft" }, `${data.queries.id[query]}${tags ? ` (${tags})` : ""}; ${judged.size} relevant passage${judged.size === 1 ? "" : "s"}.`),
    strip(query));
  byId("lists").replaceChildren(...cellNumbers(unit).filter((cell) => asked.open.has(cell)).map((cell) => ranking(cell, query)));
  if (move) {
    panel.focus({ preventScroll: true });
    if (panel.getBoundingClientRect().top > window.innerHeight * 0.6) panel.scrollIntoView({ block: "start" });
  }
}

/** A row a cell, a column a rank: a filled dot where a relevant passage is. Its name opens and closes its ranking. */
function strip(query) {
  const { data, unit } = asked;
  const judged = data.judged[query];
  const places = Array.from({ length: data.depth }, (_, place) => place);
  const body = cellNumbers(unit).filter((cell) => data.ranked[cell]).map((cell) => {
    const rows = rankedBy(cell, query);
    const open = asked.open.has(cell);
    const toggle = () => {
      if (open) asked.open.delete(cell); else asked.open.add(cell);
      showQuery(query);
      byId(`open-${cell}`).focus();
    };
    const letter = cell === asked.a ? " (A)" : cell === asked.b ? " (B)" : "";
    return el("tr", {},
      el("th", { scope: "row" }, el("button", { type: "button", class: "link", id: `open-${cell}`, "aria-expanded": String(open), click: toggle }, cellName(unit, cell)), letter),
      ...places.map((place) => place >= rows.length ? el("td", {})
        : judged.has(rows[place]) ? el("td", { class: "hit" }, el("span", { role: "img", "aria-label": "relevant" }, "●"))
          : el("td", { class: "miss" }, el("span", { role: "img", "aria-label": "other" }, "·"))),
      el("td", { class: "num" }, fixed(queryValue(shown.metric, cell, query), 2)));
  });
  return el("div", {}, el("p", { class: "soft" }, "● is a relevant passage at that rank. A cell's name opens or closes its ranking below."),
    el("div", { class: "wide at-a-glance", role: "region", tabindex: "0", "aria-label": "Where each cell ranks the relevant passages" },
      el("table", { class: "strip" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Cell"),
          ...places.map((place) => el("th", { scope: "col", class: "num" }, String(place + 1))), el("th", { scope: "col", class: "num" }, metricLabel(unit, shown.metric)))),
        el("tbody", {}, ...body))));
}

/** What a cell retrieved for a query, and which relevant passages it did not. */
function ranking(cell, query) {
  const { data, unit } = asked;
  const judged = data.judged[query];
  const rows = rankedBy(cell, query);
  const first = has(data.first[cell]) && data.ranked[data.first[cell]] ? rankedBy(data.first[cell], query) : null;
  const missing = [...judged.keys()].filter((row) => !rows.includes(row));
  const scores = data.scores[cell].slice(query * data.depth);
  return el("section", { class: "cell-list", "aria-label": `Ranking of ${cellName(unit, cell)}` },
    el("h4", {}, cellName(unit, cell)),
    rows.length ? null : el("p", { class: "soft" }, "Nothing was retrieved."),
    el("ol", { class: "ranking" }, ...rows.map((row, place) => passage(row, judged,
      el("span", { class: "place" }, `${place + 1}`), first && ` ${moved(place, first.indexOf(row), data.depth)}`,
      ` · score ${has(scores[place]) ? scores[place].toPrecision(3) : "not known"}`))),
    missing.length ? el("p", {}, el("strong", {}, `Relevant, but not among the first ${data.depth}`)) : null,
    missing.length ? el("ul", { class: "ranking" }, ...missing.map((row) => passage(row, judged,
      first && first.includes(row) ? `rank ${first.indexOf(row) + 1} before the reranker` : first ? `not among the first ${data.depth} before the reranker either` : "not retrieved"))) : null);
}

/** What the reranker did to a passage now at `place`; both places count from 0, -1 is not among those kept. */
function moved(place, before, depth) {
  if (before < 0) return `↑ from below ${depth}`;
  if (before === place) return "= as before";
  return `${before > place ? "↑" : "↓"} from ${before + 1}`;
}

function passage(row, judged, ...about) {
  const { documents } = asked.data;
  const text = el("p", { class: "passage" }, documents.text[row]);
  const more = el("button", { type: "button", class: "link", "aria-expanded": "false", click: () => {
    const open = text.classList.toggle("open");
    more.setAttribute("aria-expanded", String(open));
    more.textContent = open ? "less" : "more";
  } }, "more");
  return el("li", { class: judged.has(row) ? "relevant" : null },
    el("p", { class: "soft" }, ...about, judged.has(row) ? " " : null,
      judged.has(row) ? el("span", { class: "mark relevant" }, `relevant, grade ${judged.get(row)}`) : null),
    el("p", {}, el("strong", {}, documents.title[row] || documents.id[row]), documents.title[row] ? el("span", { class: "soft" }, ` ${documents.id[row]}`) : null),
    text, documents.text[row].length > 200 ? more : null);
}
