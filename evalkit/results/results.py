"""The results of a run: records and provenance; scores and leaderboard derived; reading and writing."""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import pandas as pd
import pyarrow as pa

from evalkit.cell import Cell, cell_name
from evalkit.errors import ConfigError
from evalkit.metrics.metric import Metric, main_of
from evalkit.results.comparisons import PLACES, against_best
from evalkit.results.published import published_frame, read_published
from evalkit.results.records import CELL_KEYS, GOLD_COLUMNS, Evidence, Measurements
from evalkit.results.scores import Known, score

if TYPE_CHECKING:
    from evalkit.results.diff import Changes

RECORDS, SCORES, LEADERBOARD, PROVENANCE = "results.parquet", "scores.csv", "leaderboard.csv", "run.json"
PUBLISHED, EVIDENCE, GOLD = "published.csv", "evidence", "gold.parquet"

T = TypeVar("T")


@dataclass(frozen=True, repr=False)
class Results:
    """Per-item records (see `records`) and the provenance of a run (what run.json holds).

    `gold` holds the gold scores of tasks that have them, once for all models.

    `published` holds figures that others report, not measured here (see `published.published_frame`): no score,
    rank or leaderboard has them. `evidence` holds rankings and texts: no score is derived from it. `measurements`
    holds what cells cost, if that was measured.
    """

    records: pd.DataFrame
    provenance: Mapping[str, Any]
    published: pd.DataFrame = field(default_factory=published_frame)
    evidence: Evidence = field(default_factory=Evidence.none)
    measurements: Measurements = field(default_factory=Measurements.none)
    gold: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=GOLD_COLUMNS))
    _kept: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """Make a value once and keep it: results never change, and several tables ask for the same comparisons."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast(T, self._kept[key])

    def with_seconds(self, seconds: float, **told: Any) -> "Results":
        """Return the same results with the time that all of it took, and more for run.json; nothing is made again."""
        found = replace(self, provenance={**self.provenance, **told, "seconds": round(seconds, 3)})
        found._kept.update(self._kept)
        return found

    @cached_property
    def scores(self) -> pd.DataFrame:
        """One row per cell and metric, fractions: task, split, model, reranker, metric, score, ci_low, ci_high, n."""
        return score(self.records, self.gold, self._known)

    @cached_property
    def _known(self) -> Known:
        samples = {(task["task"], task["split"]): task["samples"] for task in self.tasks if "samples" in task}
        named = {data["name"]: Metric.from_data(data) for data in self.provenance.get("metrics", ())}
        return Known(self.provenance["seed"], named, samples)

    @property
    def tasks(self) -> list[Mapping[str, Any]]:
        """What run.json says of each task."""
        return list(self.provenance.get("tasks", ()))

    def metric(self, name: str) -> Metric:
        """Look up a metric by name, as it was when the run was made."""
        return self._known.metric(name)

    def metrics(self, task: str, split: str, *, in_tables: bool = False) -> list[Metric]:
        """List the metrics that a task has scores in, or only those of tables, in the order of the run."""
        found = self.once(("metrics", task, split), lambda: self._metrics(task, split))
        return [metric for metric in found if metric.in_tables or not in_tables]

    def _metrics(self, task: str, split: str) -> list[Metric]:
        here = self.records[(self.records["task"] == task) & (self.records["split"] == split)]
        return self._known.metrics([str(name) for name in here["metric"].unique()])

    def main_metric(self, task: str, split: str) -> Metric:
        """Look up the metric that a task's cells are ranked by: see `metric.main_of`."""
        return main_of(self.metrics(task, split), self.provenance.get("main_metrics", ()))

    @property
    def failures(self) -> list[dict[str, str]]:
        """Cells without a score: task, split, model, reranker, reason."""
        return list(self.provenance["failures"])

    @property
    def missing(self) -> list[dict[str, str]]:
        """Cells that a run did not come to, since it was interrupted: task, split, model, reranker."""
        return list(self.provenance.get("missing", []))

    def leaderboard(self) -> pd.DataFrame:
        """Return one row per task, split, model and reranker, one column per metric (fractions), best first in a
        task.

        Best by `main_metric`, of which are rank, rank_low and rank_high (95 %), and tied: no other cell is better
        by more than chance explains (see `comparisons.against_best`); a task with an evaluator of its own has none.
        A cell that failed is a row of NaN at the task's end; its reason is in `failures`.
        """
        parts = []
        for (task, split), scores in self.scores.groupby(["task", "split"], sort=False):
            wide = scores.set_index([*CELL_KEYS, "metric"])["score"].unstack("metric", sort=False)
            main = self.main_metric(str(task), str(split))
            wide = wide.sort_values(main.name, ascending=not main.higher_is_better, kind="stable").reset_index()
            parts.append(self._with_places(wide, str(task), str(split), main.name))
        failed = pd.DataFrame(self.failures, columns=[*CELL_KEYS, "reason"]).drop(columns="reason")
        board = pd.concat([*parts, failed], ignore_index=True)
        order = {name: row for row, name in enumerate(dict.fromkeys(board["task"] + "\0" + board["split"]))}
        ranked = (board["task"] + "\0" + board["split"]).map(order).sort_values(kind="stable").index
        return board.loc[ranked].reset_index(drop=True).rename_axis(columns=None)

    def best(self, task: str | None = None, split: str | None = None) -> Cell:
        """Name the best cell of a task by its main metric; `leaderboard` says which others are tied with it.

        Raises ConfigError where several tasks could be meant, or none has a score.

        >>> import evalkit
        >>> results = evalkit.run(models="bm25,tfidf", tasks="rag-mini", max_queries=20, device="cpu")
        >>> results.best().model
        'bm25'
        """
        meant = [
            (each["task"], each["split"])
            for each in self.tasks
            if task in (None, each["task"]) and split in (None, each["split"])
        ]
        if len(meant) != 1:
            there = ", ".join(f"{each['task']} ({each['split']})" for each in self.tasks)
            raise ConfigError(f"{len(meant)} tasks could be meant by {task!r}; name one of: {there}.")
        ((name, of_split),) = meant
        board = self.leaderboard()
        first = board[(board["task"] == name) & (board["split"] == of_split)].iloc[0]
        main = self.main_metric(name, of_split).name if self.metrics(name, of_split) else None
        if main is None or math.isnan(first[main]):
            raise ConfigError(f"no cell of {name!r} has a score; the reasons are in results.failures.")
        return Cell(*first[CELL_KEYS])

    def compare(self, after: "Results | str | Path", pairs: Mapping[str, str] | None = None) -> "Changes":
        """Compare a later run with this one; see `evalkit.compare`."""
        import evalkit

        return evalkit.compare(self, after, pairs)

    def report(self, path: str | Path) -> Path:
        """Write these results as one HTML page; see `evalkit.report`."""
        import evalkit

        return evalkit.report(self, path)

    def __repr__(self) -> str:
        """Say what there is, and the best of each task, in a line or two."""
        cells = len(self.provenance["cells"])
        bests = [f"{task['task']}: {self._best_in_words(task['task'], task['split'])}" for task in self.tasks]
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"Results({cells} cells{failed}; best of {'; '.join(bests)})"

    def _best_in_words(self, task: str, split: str) -> str:
        try:
            cell = self.best(task, split)
        except ConfigError:
            return "no score"
        main = self.main_metric(task, split)
        scores = self.scores.set_index([*CELL_KEYS, "metric"])["score"]
        return f"{cell_name(cell.model, cell.reranker)}, {main.title} {scores[(*vars(cell).values(), main.name)]:.3f}"

    def _repr_html_(self) -> str:
        """Show the answer and a short leaderboard in a notebook."""
        from evalkit.reporting.notebook import to_html

        return to_html(self)

    def spec_to_use(self, task: str, split: str, label: str) -> str:
        """Return the spec that builds a model of this run for new queries; a weight that was chosen is written into
        it.
        """
        spec = str(self.provenance["specs"].get(label, label))
        for cell in self.provenance["cells"]:
            if (cell["task"], cell["split"], cell["model"]) == (task, split, label) and "weights" in cell:
                return f"{spec}?weight={cell['weights']['all']:g}"
        return spec

    def _with_places(self, board: pd.DataFrame, task: str, split: str, metric: str) -> pd.DataFrame:
        if self.metric(metric).compared == "none":
            return board
        found = against_best(self, task, split, metric)[["model", "reranker", *PLACES]]
        whole = {**dict.fromkeys(PLACES[:-1], "Int64"), "tied": "boolean"}
        return board.merge(found.astype(whole), on=["model", "reranker"], how="left")

    @property
    def provenance_text(self) -> str:
        """What run.json holds."""
        return json.dumps(self.provenance, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    def write(self, folder: Path) -> None:
        """Write all of it, and then the scores and the leaderboard, into a folder."""
        self.write_sources(folder)
        for name, text in DERIVED.items():
            (folder / name).write_text(text(self), encoding="utf-8")

    def write_sources(self, folder: Path) -> None:
        """Write what nothing else can give again: records, evidence, measurements, published figures, run.json."""
        folder.mkdir(parents=True, exist_ok=True)
        self.records.to_parquet(folder / RECORDS, index=False)
        if len(self.gold):
            self.gold.to_parquet(folder / GOLD, index=False)
        (folder / PROVENANCE).write_text(self.provenance_text, encoding="utf-8")
        self.evidence.write(folder / EVIDENCE)
        if not self.measurements.cells.empty:
            self.measurements.write(folder)
        if not self.published.empty:
            given = self.published.drop(columns=["ci_low", "ci_high"])
            given.to_csv(folder / PUBLISHED, index=False, lineterminator="\n")

    @classmethod
    def read(cls, folder: Path) -> "Results":
        """Read what `write` wrote. Raises ConfigError if the folder holds no results, or they are damaged."""
        for name in (PROVENANCE, RECORDS):
            if not (folder / name).is_file():
                raise ConfigError(f"{folder} holds no results of a run: {name} is missing.")
        try:
            provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
            if not isinstance(provenance, dict):
                raise ValueError(f"{PROVENANCE} holds a {type(provenance).__name__}")
            figures = read_published(folder / PUBLISHED) if provenance.get("published") else ()
            records, evidence = pd.read_parquet(folder / RECORDS), Evidence.read(folder / EVIDENCE)
            measurements = Measurements.read(folder)
            gold = pd.read_parquet(folder / GOLD) if (folder / GOLD).is_file() else pd.DataFrame(columns=GOLD_COLUMNS)
            return cls(records, provenance, published_frame(figures), evidence, measurements, gold)
        except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
            raise ConfigError(f"the results in {folder} cannot be read: {error}. Run it again.") from error


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, float_format="%.8f", lineterminator="\n")


DERIVED: Mapping[str, Callable[[Results], str]] = {
    SCORES: lambda results: _csv(results.scores),
    LEADERBOARD: lambda results: _csv(results.leaderboard()),
}
"""Files that are made of results, and their text."""
