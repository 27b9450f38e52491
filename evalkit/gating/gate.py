"""Compose a gate: a run, the canaries of its models, costs side by side, and the checks of a policy."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER, cell_name
from evalkit.compute import Compute, choose_compute
from evalkit.contracts import Embedder
from evalkit.errors import ConfigError, EvalkitError, did_you_mean
from evalkit.gating._alignment import on_the_same, rechunked_labels, with_reasons
from evalkit.gating._baseline import Baseline, freeze
from evalkit.gating._checks import checks
from evalkit.gating.canaries import Canaries, Drift, drift, encode_canaries
from evalkit.gating.policy import Policy, read_policy
from evalkit.gating.verdict import Check, Verdict, retrieved
from evalkit.metrics.metric import Metric
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose, choose_participants
from evalkit.models.weights import at_hand, file_facts
from evalkit.results import Results
from evalkit.results.diff import Changes, compare_runs
from evalkit.runner.config import RunConfig, read_config, read_suite
from evalkit.runner.measure import Limits, measure
from evalkit.runner.run import load_tasks, open_context, run_config
from evalkit.spending import Spending
from evalkit.tasks.mteb.reference import is_mteb
from evalkit.types import RetrievalTask

ROUNDS = 2
"""Times that the old and the new model are measured, in turn."""


def make_baseline(results: Results, models: Mapping[str, object] | None = None) -> Baseline:
    """Return the baseline of a run: its scores by query, and the canaries of its embedders, which are loaded for it.

    `models` gives, by label, the objects that the run was given in place of specs. Raises ConfigError for a run that
    has no scores, was interrupted, or was given objects that are not here.
    """
    compute = choose_compute(results.provenance["device"], results.provenance["dtype"])
    canaries: dict[str, Canaries] = {}
    for label in _models(results):
        embedder = _embedder(results, label, models or {})
        if embedder is not None:
            canaries[label] = _of_model(embedder, embedder.load(compute, Spending()))
    return freeze(results, canaries)


def gate(
    baseline: Baseline | str | Path,
    *,
    suite: str | Path | Mapping[str, Any] | None = None,
    run: Results | str | Path | None = None,
    policy: Policy | str | Path | Mapping[str, Any] | None = None,
    pairs: Mapping[str, str] | None = None,
    rechunked: Mapping[str, str] | None = None,
    common: bool = False,
    strict: bool = False,
    models: Mapping[str, object] | None = None,
) -> Verdict:
    """Tell whether a run is good enough beside a baseline: `suite` is run now, or `run` was before.

    `policy` says what it is held to (see `gate.policy.Policy`). `pairs` names, by its label in the baseline, a model
    that took the place of another, and `rechunked`, by its name in the baseline, a task whose documents were cut
    anew: its questions are compared, whatever the chunks (see `gate.common.rechunked_labels` for names). Other tasks
    whose data differ are refused, unless `common` restricts them to the queries whose text and judgements are the
    same. `models` gives, by label, objects in place of specs.

    The same inputs give the same verdict. Raises EvalkitError for input that cannot be used.

    >>> import evalkit
    >>> before = evalkit.run(models="tfidf", tasks="rag-mini", max_queries=60, device="cpu")
    >>> gate(make_baseline(before), run=before).word
    'pass'
    """
    frozen = baseline if isinstance(baseline, Baseline) else Baseline.read(Path(baseline))
    held_to = policy if isinstance(policy, Policy) else read_policy(policy)
    if (suite is None) == (run is None):
        raise ConfigError("a gate needs a suite to run, or a run: give one of the two.")
    config = None
    now: dict[str, Canaries | str] = {}
    if suite is not None:
        config = read_config(dict(suite) if isinstance(suite, Mapping) else read_suite(suite))
        _check_metrics(held_to, frozen, config)

        def take_canaries(reference: ModelRef, model: Any) -> None:
            if isinstance(model, Embedder):
                now[reference.label] = _of_model_or_why_not(reference, model)

        after = run_config(config, take_canaries)
    else:
        after = run if isinstance(run, Results) else Results.read(Path(str(run)))
    cut_anew = rechunked_labels(rechunked or {}, frozen, after)
    frozen = frozen.renamed(cut_anew)
    before, after = on_the_same(frozen.results(), after, frozen, cut_anew.values(), common)
    pairs = dict(pairs or {})
    changes = with_reasons(compare_runs(before, after, pairs), frozen, before, after, cut_anew.values())
    # Where one model took the place of another on purpose, other vectors are told and do not fail.
    if pairs and held_to.drift == "fail":
        held_to = held_to.model_copy(update={"drift": "warn"})
    drifts = {} if held_to.drift == "off" else _drifts(frozen, after, now, pairs, models or {})
    found = checks(before, after, changes, drifts, held_to)
    if held_to.latency_ratio is not None or held_to.memory_ratio is not None:
        found += _ratios(before, after, changes, held_to, config)
    return Verdict(tuple(found), changes, tuple(retrieved(before, after, found)), strict)


def _check_metrics(policy: Policy, frozen: Baseline, config: RunConfig) -> None:
    """Raise ConfigError for a metric of the policy that the run would not have, before it is run."""
    before = frozen.results()
    then = {metric.name for task in frozen.tasks for metric in before.metrics(task.task, task.split)}
    without_cut = {name for name in then if before.metric(name).k is None}
    known = without_cut | {metric.name for metric in config.ranking_metrics}
    # Tasks of mteb bring metrics of their own, which the run tells.
    brings_its_own = any(map(is_mteb, config.tasks))
    for name in (*policy.metrics, *policy.floors):
        if name not in known and (Metric.named(name).k is not None or not brings_its_own):
            raise ConfigError(
                f"the run would have no metric {name!r}, which the policy names. {did_you_mean(name, sorted(known))} "
                f"This suite cuts rankings at {', '.join(map(str, config.top_k))}; metrics= names others."
            )
    for name in policy.metrics:
        if name not in then:
            raise ConfigError(
                f"the baseline has no {name!r} to hold a loss against. {did_you_mean(name, sorted(then))}"
            )


def _models(results: Results) -> list[str]:
    """Return the labels of the models that have a score, without fusions of them."""
    fusions = results.provenance.get("fusions", {})
    labels = dict.fromkeys(cell["model"] for cell in results.provenance["cells"])
    return [label for label in labels if label not in fusions]


def _embedder(results: Results, label: str, objects: Mapping[str, object]) -> ModelRef | None:
    """Return a model of a run, if it is one that has vectors."""
    if label in objects:
        chosen = ModelRef.from_object(label, objects[label])
    elif label in results.provenance["given_models"]:
        raise ConfigError(f"{label!r} was an object when it was run: give it in models={{{label!r}: ...}}.")
    else:
        chosen = next(iter(choose([results.provenance["specs"][label]], {"embedder", "retriever"}).values()))
    return chosen if "embedder" in chosen.kinds else None


def _canaries_or_why_not(embedder: ModelRef, compute: Compute) -> Canaries | str:
    try:
        model = embedder.load(compute, Spending())
    except EvalkitError as error:
        return f"it cannot be loaded to compare its vectors: {error}"
    return _of_model_or_why_not(embedder, model)


def _of_model_or_why_not(embedder: ModelRef, model: Embedder) -> Canaries | str:
    try:
        return _of_model(embedder, model)
    except Exception as error:  # as in a grid, whatever a model raises is the reason that it has none
        return f"it gives no vectors of the canary texts: {type(error).__name__}: {error}"


def _of_model(embedder: ModelRef, model: Embedder) -> Canaries:
    """Return the canaries of a model that is loaded."""
    spec = embedder.spec
    folder = at_hand(spec.name, getattr(spec.options, "revision", None)) if spec is not None and spec.name else None
    return encode_canaries(model, file_facts(folder) if folder else None)


def _drifts(
    frozen: Baseline,
    after: Results,
    heard: Mapping[str, Canaries | str],
    pairs: Mapping[str, str],
    objects: Mapping[str, object],
) -> dict[str, Drift | str]:
    """By model of the baseline that the run has, what changed about its canaries, or why that is not known.

    `heard` has what the run's models gave when they were loaded; of a run that was before they are loaded now.
    """
    compute = choose_compute(after.provenance["device"], after.provenance["dtype"])
    found: dict[str, Drift | str] = {}
    for label, then in frozen.canaries.items():
        now = pairs.get(label, label)
        if now not in _models(after):
            continue
        if now not in heard:
            embedder = _embedder(after, now, objects)
            told = "it has no vectors now." if embedder is None else _canaries_or_why_not(embedder, compute)
        else:
            told = heard[now]
        found[now] = told if isinstance(told, str) else drift(then, told)
    return found


def _ratios(
    before: Results, after: Results, changes: Changes, policy: Policy, config: RunConfig | None
) -> Iterator[Check]:
    """Yield latency and memory of the new cells over the old ones', measured in turn on this machine, in this run."""
    if config is None:
        reason = "costs are measured side by side in one run: give the suite in place of a run."
        yield Check("costs", "undecided", reason)
        return
    tasks = [task for task in load_tasks(config) if isinstance(task, RetrievalTask)]
    old_specs, new_specs = before.provenance["specs"], after.provenance["specs"]
    pairs = changes.cells[["model_a", "reranker_a", "model_b", "reranker_b"]].astype(str).drop_duplicates()
    for model_a, reranker_a, model_b, reranker_b in pairs.itertuples(index=False, name=None):
        name = f"{cell_name(model_b, reranker_b)}: costs"
        old = [old_specs[label] for label in (model_a, reranker_a) if label != NO_RERANKER]
        new = [new_specs[label] for label in (model_b, reranker_b) if label != NO_RERANKER]
        fusions = {*before.provenance.get("fusions", {}), *after.provenance.get("fusions", {})}
        if old == new:
            yield Check(
                name, "note", "old and new are one spec: there is no old model to measure beside the new one."
            )
        elif fusions & {model_a, model_b}:
            yield Check(name, "note", "the costs of a fusion are not compared; those of its models are.")
        else:
            limits = Limits(policy.measure_queries, policy.measure_seconds, config.seed)
            rounds = [("old", old), ("new", new)] * ROUNDS
            cells = pd.concat([_cost(specs, tasks, config, limits).assign(side=side) for side, specs in rounds])
            for limit, column, what in (
                (policy.latency_ratio, "latency_p50_ms", "latency"),
                (policy.memory_ratio, "peak_memory_mb", "memory"),
            ):
                if limit is not None:
                    yield _ratio(f"{cell_name(model_b, reranker_b)}: {what}", cells, column, limit)


def _cost(specs: Sequence[str], tasks: Sequence[RetrievalTask], config: RunConfig, limits: Limits) -> pd.DataFrame:
    """Tell what the cell of a model, and a reranker if there is one, costs: a row a task (see `measure`)."""
    participants = choose_participants(specs[:1], specs[1:])
    context = open_context(config)
    with context.progress:
        cells = measure(tasks, participants, candidates=config.rerank_depth, context=context, limits=limits).cells
    return cells[cells["reranker"] == next(iter(participants.rerankers), NO_RERANKER)]


def _ratio(name: str, cells: pd.DataFrame, column: str, limit: float) -> Check:
    medians = cells.groupby("side")[column].median()
    ratio = medians["new"] / medians["old"]
    if not np.isfinite(ratio):
        notes = "; ".join(sorted({note for note in cells["note"] if note})) or "it is not known"
        return Check(name, "undecided", f"it could not be measured: {notes}.")
    told = f"{ratio:.2f} times the old one's ({medians['old']:.3g} and {medians['new']:.3g})"
    return Check(name, "pass" if ratio <= limit else "fail", f"{told}; at most {limit:g} is allowed.")
