"""Compose a surface: one run with the most candidates, and from it every point of fewer, its costs and the knees."""

import math
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack, cast, get_args

import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.curves._knee import Knee, knees_of
from evalkit.curves._latency import PREDICTED, measure_ends
from evalkit.curves._points import points_of, records_of
from evalkit.curves._tables import curve_tables
from evalkit.curves._variants import Variant, is_derivable, variants_of, with_variants
from evalkit.errors import ConfigError
from evalkit.metrics.metric import Metric
from evalkit.models.registry.options import Precision
from evalkit.models.registry.selection import Participants
from evalkit.reporting.table import Table, to_markdown
from evalkit.reporting.write import CURVES, POINTS, write_run
from evalkit.results import Results
from evalkit.runner.config import RunConfig, over_suite, read_config, read_suite
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan, Outcome
from evalkit.runner.keys import RunKeys
from evalkit.runner.measure import Limits, MeasuringInterrupted
from evalkit.runner.run import (
    Interrupted,
    compute,
    load_tasks,
    make_results,
    open_context,
    participants_of,
    published_scores,
    raise_what_failed,
)
from evalkit.search.ranking import LIST_DEPTH
from evalkit.types import RetrievalTask, Task

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
CANDIDATES, TOP_K = 50, (1, 3, 5, 10)
COLUMNS = [
    "task", "split", "model", "of", "dim", "precision", "reranker", "candidates", "k", "metric", "score", "ci_low",
    "ci_high", "n", *PREDICTED, "vector_bytes", "corpus_megabytes",
]  # fmt: skip


@dataclass(frozen=True)
class Surface:
    """Every point of a grid: quality, what a query takes, and bytes.

    `results` are those of the run with the most candidates. `points` has the columns `COLUMNS`: a row for each model
    as it was given, and `of` it each with fewer dimensions or at a lower precision, each reranker, number of
    `candidates` (0: there is no reranker) and metric. Scores are fractions with the bounds of their 95 % intervals;
    latencies (milliseconds) and prices are predicted (see `_latency`), NaN where they were not measured. `knees` are
    in words as text. `notes` say what is left out, and why.
    """

    results: Results
    points: pd.DataFrame
    knees: tuple[Knee, ...]
    notes: tuple[str, ...]

    @property
    def tables(self) -> list[Table]:
        """The curves, for people."""
        return curve_tables(self.points, _main(self.results, self.points))

    def to_markdown(self) -> str:
        """Return the knees in words, what is left out, and the curves."""
        told = "".join(f"- {sentence}\n" for sentence in (*map(str, self.knees), *self.notes))
        return f"{told}\n{to_markdown(self.tables)}"


def surface(
    suite: str | Path | None = None,
    *,
    depths: int | str | Sequence[int] | None = None,
    dims: int | str | Sequence[int] | None = None,
    precisions: str | Sequence[Precision] = PRECISIONS,
    measure_queries: int = 50,
    measure_seconds: float = 5.0,
    **keys: Unpack[RunKeys],
) -> Surface:
    """Run a grid once, with the most candidates, and tell of every k, depth, dimension and precision what it gives.

    `keys` and `suite` are those of `run`. `candidates` (unset: 50, or the most of `depths`) are reranked once;
    `depths` are the numbers of candidates that the curves have (unset: 1, 2, 5, 10, 20, 50 and so on up to them).
    Each embedder also takes part with fewer `dims` (unset: halves of what it has, down to 64) and at these
    `precisions`, which costs no encoding. Each point's scores are those of the cell run by itself.

    What queries take is measured as in `pick`, at the ends of the curves, on at most `measure_queries` (0: nothing is
    measured) for about `measure_seconds` a stage, and predicted between.

    Left out, as `Surface.notes` say: rerankers that order a list as a whole, and fusions whose lists or weights
    depend on how many documents are ranked. Raises EvalkitError before a model is loaded, also for tasks without
    rankings, and for metrics that are not cut at a k. Raises Interrupted after Ctrl-C, and ReportError, as `run`
    does.

    >>> found = surface(models="bm25", tasks="rag-mini", top_k="1,5", max_queries=20, measure_queries=0, device="cpu")
    >>> sorted(found.points["metric"].str.partition("@")[0].unique())
    ['AP', 'MRR', 'P', 'R', 'hit_rate', 'nDCG']
    """
    config = _config(over_suite(read_suite(suite) if suite is not None else {}, keys), depths)
    shown = _shown(config, depths)
    fewer, kinds = None if dims is None else _numbers(dims, "dims"), _precisions(precisions)
    context = open_context(config)
    given = participants_of(config)
    tasks, published = _rankings(load_tasks(config)), published_scores(config)
    started = time.time()
    variants = variants_of(given, _full_dims(config, given, tasks, context), fewer, kinds)
    everyone = with_variants(given, variants)
    plan = GridPlan(tasks, everyone, config.rerank_depth, config.depth)
    outcome = compute(config, plan, context)
    results = make_results(config, plan, outcome, context, published, started)
    if results.missing:
        raise _interrupted(results, config)
    left_out = _left_out(given, outcome, plan)
    kept = _without(given, left_out)
    records = records_of(_of(outcome, kept, variants), tasks, config.ranking_metrics, shown)
    points = points_of(records, variants, config.seed).assign(**dict.fromkeys(PREDICTED, math.nan))
    if measure_queries:
        limits = Limits(measure_queries, measure_seconds, config.seed)
        try:
            with context.progress:
                ends = measure_ends(tasks, kept, everyone, variants, shown, context, limits)
        except MeasuringInterrupted as interrupted:
            raise _interrupted(replace(results, measurements=interrupted.measurements), config) from None
        points, results = ends.predict(points, variants), replace(results, measurements=ends.deep)
    return _finished(
        results, points, records, [f"{label} is left out: {why}" for label, why in left_out.items()], tasks, config
    )


def _config(keys: Mapping[str, Any], depths: int | str | Sequence[int] | None) -> RunConfig:
    """Return the configuration of the run with the most candidates. Raises ConfigError for what a surface lacks."""
    most = CANDIDATES if depths is None else max(_numbers(depths, "depths"))
    ranks = {} if "metrics" in keys or "top_k" in keys else {"top_k": TOP_K}
    config = read_config({**ranks, **keys, "candidates": keys.get("candidates") or most})
    if depths is not None and most > config.rerank_depth:
        raise ConfigError(f"depths go to {most}, and candidates={config.rerank_depth}; leave out candidates.")
    if config.no_store:
        raise ConfigError("a surface takes all dimensions and precisions from stored vectors; leave out no_store.")
    uncut = [metric.name for metric in config.ranking_metrics if metric.definition is None or metric.k is None]
    if uncut:
        raise ConfigError(
            f"a surface has metrics of evalkit's own that are cut at a k, such as nDCG@10; leave out "
            f"{', '.join(uncut)}."
        )
    return config


def _numbers(given: int | str | Sequence[int], name: str) -> list[int]:
    """Return whole numbers above 0, ascending, each once. Raises ConfigError for anything else."""
    listed = given.split(",") if isinstance(given, str) else [given] if isinstance(given, int) else list(given)
    try:
        numbers = sorted({int(each) for each in listed})
    except ValueError:
        numbers = []
    if not numbers or numbers[0] < 1:
        raise ConfigError(f"{name}={given!r}: give whole numbers above 0, such as 10,20,50.")
    return numbers


def _shown(config: RunConfig, depths: int | str | Sequence[int] | None) -> list[int]:
    """Return the numbers of candidates that the curves have, which are at least the smallest k; by default 1, 2, 5,
    10, 20, 50 and so on, up to and with the most. Raises ConfigError if there is none.
    """
    most, least = config.rerank_depth, min(config.top_k)
    steps = [lead * 10**power for power in range(len(str(most))) for lead in (1, 2, 5)]
    listed = [*(step for step in steps if step < most), most] if depths is None else _numbers(depths, "depths")
    shown = [depth for depth in listed if depth >= least]
    if not shown:
        raise ConfigError(f"depths={depths!r}: each is fewer than the smallest k, {least}; give one that is not.")
    return shown


def _precisions(given: str | Sequence[Precision]) -> list[Precision]:
    named = [each.strip() for each in given.split(",")] if isinstance(given, str) else list(given)
    if not named or not set(named) <= set(PRECISIONS):
        raise ConfigError(f"precisions={given!r}: give some of {', '.join(PRECISIONS)}.")
    return cast(list[Precision], named)


def _rankings(tasks: Sequence[Task]) -> list[RetrievalTask]:
    """Return the tasks. Raises ConfigError if one of them has no rankings."""
    found = [task for task in tasks if isinstance(task, RetrievalTask)]
    if others := [task.name for task in tasks if not isinstance(task, RetrievalTask)]:
        raise ConfigError(f"a surface is of rankings, and {', '.join(others)} has none; leave it out.")
    return found


def _full_dims(
    config: RunConfig, given: Participants, tasks: Sequence[RetrievalTask], context: RunContext
) -> dict[str, int]:
    """Tell how many dimensions each model has that others are derived from; it is encoded for that, and stored."""
    derivable = {label: model for label, model in given.models.items() if is_derivable(model)}
    outcome = compute(config, GridPlan(tasks[:1], Participants(derivable), 1, 1), context)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return {cell.model: facts.dim for cell, facts in outcome.facts.items() if facts.dim is not None}


def _left_out(given: Participants, outcome: Outcome, plan: GridPlan) -> dict[str, str]:
    """Return the rerankers and fusions whose order of few documents is not known from that of many, and why."""
    lists = {cell.reranker for cell, facts in outcome.facts.items() if facts.in_lists}
    why = dict.fromkeys(
        sorted(lists), "it orders each list as a whole, so that its order of fewer candidates is another question."
    )
    for label, fusion in given.fusions.items():
        if fusion.fusion.method == "weighted" and fusion.fusion.weight is None:
            why[label] = "its weight is chosen anew at each k; give one, as in ?weight=0.5."
        elif plan.kept > LIST_DEPTH:
            why[label] = f"it fuses lists of {plan.kept} here, and of {LIST_DEPTH} where fewer are ranked."
    return why


def _without(given: Participants, labels: Collection[str]) -> Participants:
    rerankers = {label: model for label, model in given.rerankers.items() if label not in labels}
    fusions = {label: fusion for label, fusion in given.fusions.items() if label not in labels}
    return replace(given, rerankers=rerankers, fusions=fusions)


def _of(outcome: Outcome, kept: Participants, variants: Mapping[str, Variant]) -> Outcome:
    """Return what came of the cells whose models, fusions and rerankers are all kept."""
    first = {label for label, variant in variants.items() if variant.of in kept.first_stages}
    behind = {NO_RERANKER, *kept.rerankers}
    rankings = {
        cell: run for cell, run in outcome.rankings.items() if cell.model in first and cell.reranker in behind
    }
    return Outcome(rankings=rankings, facts=outcome.facts)


def _interrupted(results: Results, config: RunConfig) -> Interrupted:
    """Return the error after Ctrl-C; what was finished is written."""
    return Interrupted(results, None if config.out is None else write_run(results, config.out).failed)


def _main(results: Results, points: pd.DataFrame) -> dict[tuple[str, str], Metric]:
    """Return the metric that each task's knees are found by."""
    tasks = points[["task", "split"]].drop_duplicates().itertuples(index=False, name=None)
    return {(task, split): results.main_metric(task, split) for task, split in tasks}


def _finished(
    results: Results,
    points: pd.DataFrame,
    records: pd.DataFrame,
    notes: Sequence[str],
    tasks: Sequence[RetrievalTask],
    config: RunConfig,
) -> Surface:
    """Name the knees, and write everything where there is a folder."""
    documents = {(task.name, task.split): len(task.corpus) for task in tasks}
    of_row = [documents[key] for key in zip(points["task"], points["split"], strict=True)]
    points = points.assign(corpus_megabytes=points["vector_bytes"] * of_row / 1e6).reindex(columns=COLUMNS)
    knees = knees_of(points, records, _main(results, points), config.seed)
    told = {"knees": list(map(str, knees)), "notes": list(notes)}
    results = replace(results, provenance={**results.provenance, "surface": told})
    made = Surface(results, points, tuple(knees), tuple(notes))
    if config.out is not None:
        reports = write_run(results, config.out)
        reports.write(config.out, POINTS, lambda: points.to_csv(index=False, lineterminator="\n"))
        reports.write(config.out, CURVES, made.to_markdown)
        raise_what_failed(reports, config.out, made)
    return made
