/* Choosing a task and a metric, the theme, and drawing everything again. */

function draw() {
  const { unit, metric } = shown;
  const cells = boardCells(unit, metric);
  drawBoard(unit, metric, cells);
  drawForest(unit, metric, cells);
  drawTrade(unit, metric, cells);
}

function drawMetric() {
  drawHeat(shown.unit, shown.metric);
  drawGains(shown.unit, shown.metric);
  draw();
  drawQueries(shown.unit, shown.metric);
}

function chooseUnit(number) {
  const unit = page.units[number];
  Object.assign(shown, { unit, metric: unit.main, sort: { key: "score", down: bestFirst(unit, unit.main) } });
  fill(byId("metric"), unit.metrics.map((each) => [each.name, each.label]), unit.main);
  makeFilters(unit);
  drawFailed(unit);
  drawPairs(unit);
  drawMetric();
}

const THEMES = ["auto", "light", "dark"];
byId("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme ?? "auto";
  const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
  document.documentElement.dataset.theme = next;
  byId("theme").textContent = `Theme: ${next}`;
});

if (page.units.length) {
  const most = page.units.findIndex((unit) => unit.ranks);
  fill(byId("unit"), page.units.map((unit, number) => [number, unit.title]), Math.max(most, 0));
  byId("unit").addEventListener("change", (event) => chooseUnit(Number(event.target.value)));
  byId("metric").addEventListener("change", (event) => {
    shown.metric = event.target.value;
    if (shown.sort.key === "score") shown.sort.down = bestFirst(shown.unit, shown.metric);
    drawMetric();
  });
  byId("cost").addEventListener("change", draw);
  byId("pairs-model").addEventListener("change", () => drawPairs(shown.unit));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  drawAcross();
  chooseUnit(Math.max(most, 0));
  new IntersectionObserver((entries, observer) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    asked.seen = true;
    drawQueries(shown.unit, shown.metric);
  }, { rootMargin: "600px" }).observe(byId("s-queries"));
}
document.documentElement.dataset.ready = "true";
