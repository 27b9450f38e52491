"""What changed from one run to another: scores with paired intervals, queries won and lost, inputs that differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit.errors import ConfigError
from evalkit.results.comparisons import LEVEL, CellLabel, Compared, compared
from evalkit.results.input_diff import Label, differing_inputs, of_cell, of_task, tasks_of, why_apart
from evalkit.results.records import CELL_KEYS
from evalkit.results.results import Results
from evalkit.results.scores import is_covered
from evalkit.stats.paired import PairedTests
from evalkit.types import FloatArray

CELL_COLUMNS = [
    "task", "split", "model_a", "reranker_a", "model_b", "reranker_b", "metric", "main", "score_a", "score_b",
    "difference", "ci_low", "ci_high", "p", "p_holm", "n", "sd", "won", "lost", "even", "verdict",
]  # fmt: skip
QUERY_COLUMNS = [
    "task", "split", "model_a", "reranker_a", "model_b", "reranker_b", "query", "text", "value_a", "value_b",
    "difference", "rank_a", "rank_b",
]  # fmt: skip
NO_TEST, TOO_FEW = "no test", "too few items"
"""Verdicts of cells that are not compared."""
_TASK = ["task", "split"]
_PAIR = ["model_a", "reranker_a", "model_b", "reranker_b"]

Pair = tuple[CellLabel, CellLabel]
"""A cell of run A, and the one of run B that is compared with it."""


@dataclass(frozen=True)
class Apart:
    """A task that is not compared cell by cell, and why."""

    task: str
    split: str
    reason: str


@dataclass(frozen=True)
class Changes:
    """From run A to run B; a difference is B - A, a fraction.

    `cells` has a row a task, pair of cells and metric, with `CELL_COLUMNS`: `main` marks the metric that the task is
    ranked by, `won` and `lost` count the queries whose value got better and worse. `p_holm` is corrected for all
    pairs of a task and metric; `verdict` is "better" or "worse" where that is at most 0.05, "same" where no query
    differs, "cannot be told" elsewhere, `TOO_FEW` where either cell covers too few of the task's items (see
    `scores.FLOOR`), and `NO_TEST` where a score has no queries behind it.

    `queries` has a row for each query of a retrieval task whose main value changed, with `QUERY_COLUMNS`, the largest
    losses first (here a difference is how much better the query got): the ranks are those of its first relevant
    document, NaN where none was found. `inputs` has a row for each thing that differs: what, a, b. `tasks` is what
    run B says of its tasks.
    """

    cells: pd.DataFrame
    queries: pd.DataFrame
    inputs: pd.DataFrame
    apart: tuple[Apart, ...]
    only_a: tuple[tuple[str, ...], ...]
    only_b: tuple[tuple[str, ...], ...]
    tasks: Mapping[Label, Mapping[str, Any]]


def compare_runs(
    before: Results | str | Path, after: Results | str | Path, pairs: Mapping[str, str] | None = None
) -> Changes:
    """Compare two runs, results or folders of them, cell by cell where their data are the same.

    Cells with the same labels are compared; `pairs` names, by the label of a model or reranker of the run before,
    another one that took its place. Raises ConfigError for a label that a run does not have, and if nothing at all is
    in both.

    >>> import evalkit
    >>> before = evalkit.run(models="tfidf", tasks="rag-mini", max_queries=20, device="cpu")
    >>> after = evalkit.run(models="tfidf?ngrams=2", tasks="rag-mini", max_queries=20, device="cpu")
    >>> changes = evalkit.compare(before, after, {"tfidf": "tfidf?ngrams=2"})
    >>> list(changes.cells.columns[:4])
    ['task', 'split', 'model_a', 'reranker_a']
    """
    a, b = (run if isinstance(run, Results) else Results.read(Path(run)) for run in (before, after))
    pairs = dict(pairs or {})
    _check(pairs, a, b)
    tasks_a, tasks_b = tasks_of(a), tasks_of(b)
    apart = tuple(
        Apart(*label, why_apart(label, a, b))
        for label in tasks_a
        if label in tasks_b and tasks_a[label]["content_hash"] != tasks_b[label]["content_hash"]
    )
    gone = {(each.task, each.split) for each in apart}
    shared = [label for label in tasks_a if label in tasks_b and label not in gone]
    there_a, there_b = _cells(a), _cells(b)
    both: dict[Label, list[Pair]] = {}
    for label in shared:
        new = {cell: (pairs.get(cell[0], cell[0]), pairs.get(cell[1], cell[1])) for cell in there_a.get(label, [])}
        both[label] = [(cell, other) for cell, other in new.items() if other in there_b.get(label, [])]
    if not any(both.values()) and not apart:
        raise ConfigError(
            f"no cell is in both runs. The first has {_listed(there_a)}; the second {_listed(there_b)}. If one "
            "took the place of another, say so: --pair 'OLD -> NEW' for models, in a gate --rechunked 'OLD -> NEW' "
            "for tasks whose documents were cut anew."
        )
    cells, queries = [], []
    for label, matched in both.items():
        if matched:
            cells += list(_cell_rows(label, matched, a, b))
            queries.append(_query_rows(label, matched, a, b))
    return Changes(
        pd.DataFrame(cells, columns=CELL_COLUMNS),
        pd.concat([pd.DataFrame(columns=QUERY_COLUMNS), *(each for each in queries if len(each))], ignore_index=True),
        differing_inputs(a, b, pairs),
        apart,
        _only(there_a, both, 0, gone),
        _only(there_b, both, 1, gone),
        tasks_b,
    )


def _check(pairs: Mapping[str, str], a: Results, b: Results) -> None:
    for name, labels, run in (("first", list(pairs), a), ("second", list(pairs.values()), b)):
        known = sorted({label for cell in run.provenance["cells"] for label in (cell["model"], cell["reranker"])})
        for label in labels:
            if label not in known:
                raise ConfigError(f"the {name} run has no model {label!r}. It has: {', '.join(known)}.")


def _cells(run: Results) -> dict[Label, list[CellLabel]]:
    """Return the cells of each task that have a score."""
    found: dict[Label, list[CellLabel]] = {}
    for task, split, model, reranker in run.records[CELL_KEYS].drop_duplicates().astype(str).to_numpy().tolist():
        found.setdefault((task, split), []).append((model, reranker))
    return found


def _listed(cells: Mapping[Label, Sequence[CellLabel]]) -> str:
    models = dict.fromkeys(model for labels in cells.values() for model, _ in labels)
    if not models:
        return "no scores at all"
    return f"{', '.join(models)} on {', '.join(f'{task} ({split})' for task, split in cells)}"


def _only(
    there: Mapping[Label, Sequence[CellLabel]],
    both: Mapping[Label, Sequence[Pair]],
    side: int,
    apart: set[Label],
) -> tuple[tuple[str, ...], ...]:
    matched = {(*label, *pair[side]) for label, pairs in both.items() for pair in pairs}
    cells = ((*label, *cell) for label, labels in there.items() if label not in apart for cell in labels)
    return tuple(cell for cell in cells if cell not in matched)


def _cell_rows(label: Label, pairs: Sequence[Pair], a: Results, b: Results) -> Iterator[dict[str, Any]]:
    scores = [of_task(run.scores, label) for run in (a, b)]
    main = a.main_metric(*label).name
    for metric in _metrics(label, a, b):
        by_cell = [
            of.loc[of["metric"] == metric].astype({"model": str, "reranker": str}).set_index(["model", "reranker"])
            for of in scores
        ]
        values = _values(label, metric, pairs, a, b)
        for row, (old, new) in enumerate(pairs):
            before, after = by_cell[0]["score"].get(old, np.nan), by_cell[1]["score"].get(new, np.nan)
            yield {
                **dict(zip(_TASK, label, strict=True)),
                **dict(zip(_PAIR, (*old, *new), strict=True)),
                "metric": metric,
                "main": metric == main,
                "score_a": before,
                "score_b": after,
                "difference": after - before,
                **_tested(values, row, int(by_cell[0]["n"].get(old, 0))),
            }


def _metrics(label: Label, a: Results, b: Results) -> list[str]:
    """Return the main metric first, then the others of tables that both have, of those with a cut-off at the
    largest.
    """
    main, there = a.main_metric(*label).name, {metric.name for metric in b.metrics(*label)}
    both = [metric for metric in a.metrics(*label) if metric.name in there]
    largest = max((metric.k for metric in both if metric.k is not None), default=None)
    others = [metric for metric in both if metric.in_tables and metric.name != main and metric.similarity is None]
    kept = [metric.name for metric in others if metric.compared == "means" and metric.k in (None, largest)]
    return [*(metric.name for metric in both if metric.name == main), *kept]


@dataclass(frozen=True)
class _Values:
    """Values by query, (n_queries, n_pairs) of each run, and the tests of their differences."""

    before: FloatArray
    after: FloatArray
    tests: PairedTests
    per_query: bool
    sign: int


def _values(label: Label, metric: str, pairs: Sequence[Pair], a: Results, b: Results) -> _Values | None:
    """None where the scores have no queries behind them."""
    try:
        old, new = (compared(run, *label, metric) for run in (a, b))
    except ConfigError:
        return None
    row_of = {identifier: row for row, identifier in enumerate(new.ids)}
    rows = [row_of[identifier] for identifier in old.ids]
    before = old.values[:, [old.cells.index(cell) for cell, _ in pairs]]
    after = new.values[rows][:, [new.cells.index(cell) for _, cell in pairs]]
    joined = Compared((), old.ids, np.hstack([after, before]), old.gold, old.seed, old.sign)
    tests = joined.tests([(row, len(pairs) + row) for row in range(len(pairs))])
    return _Values(before, after, tests, old.gold is None, old.sign)


def _tested(values: _Values | None, row: int, n: int) -> dict[str, Any]:
    undefined = dict.fromkeys(("ci_low", "ci_high", "p", "p_holm", "sd", "won", "lost", "even"), np.nan)
    if values is None:
        return {**undefined, "n": n, "verdict": NO_TEST}
    tests = values.tests
    change = values.sign * (values.after[:, row] - values.before[:, row])
    sides = np.column_stack([values.before[:, row], values.after[:, row]])
    if not is_covered(sides).all():
        return {**undefined, "n": int(np.isfinite(change).sum()), "verdict": TOO_FEW}
    counts = {"won": (change > 0).sum(), "lost": (change < 0).sum(), "even": (change == 0).sum()}
    low, high = sorted((values.sign * tests.low[row], values.sign * tests.high[row]))
    significant = tests.p_holm[row] <= LEVEL
    verdict = ("better" if tests.difference[row] > 0 else "worse") if significant else "cannot be told"
    return {
        "ci_low": low,
        "ci_high": high,
        "p": tests.p[row],
        "p_holm": tests.p_holm[row],
        "n": int(tests.n[row]),
        "sd": tests.sd[row],
        # Of a pair of sentences nothing is won: only all of them have a correlation.
        **(counts if values.per_query else dict.fromkeys(counts, np.nan)),
        "verdict": "same" if (change[np.isfinite(change)] == 0).all() and len(change) else verdict,
    }


def _query_rows(label: Label, pairs: Sequence[Pair], a: Results, b: Results) -> pd.DataFrame:
    """Return the queries of a retrieval task whose main value changed, the largest losses first."""
    # A baseline keeps no texts.
    texts = max((of_task(run.evidence.queries, label) for run in (a, b)), key=len).set_index("query")["text"]
    main = a.main_metric(*label)
    if texts.empty or main.compared != "means":
        return pd.DataFrame(columns=QUERY_COLUMNS)
    parts = []
    for old, new in pairs:
        sides = [of_cell(run.records, label, cell) for run, cell in ((a, old), (b, new))]
        value = [side[side["metric"] == main.name].astype({"id": str}).set_index("id")["value"] for side in sides]
        ranks = [
            of_cell(run.evidence.first_relevant, label, cell).astype({"query": str}).set_index("query")["rank"]
            for run, cell in ((a, old), (b, new))
        ]
        frame = pd.DataFrame({"value_a": value[0], "value_b": value[1]})
        frame["difference"] = main.sign * (frame["value_b"] - frame["value_a"])
        frame = frame[frame["difference"].abs() > 0].rename_axis("query").reset_index()
        frame["text"] = frame["query"].map(texts)
        frame["rank_a"], frame["rank_b"] = (frame["query"].map(side).astype("float64") for side in ranks)
        parts.append(frame.assign(**dict(zip([*_TASK, *_PAIR], (*label, *old, *new), strict=True))))
    found = pd.concat(parts, ignore_index=True)[QUERY_COLUMNS]
    return found.sort_values("difference", kind="stable", ignore_index=True)
