"""The checks of a gate, in order: each says what came of it, and why."""

import math
from collections.abc import Iterator, Mapping, Sequence

from evalkit.cell import cell_name
from evalkit.errors import ConfigError, did_you_mean
from evalkit.gating._alignment import cut_anew
from evalkit.gating._margins import margin_checks
from evalkit.gating.canaries import Drift
from evalkit.gating.policy import Policy
from evalkit.gating.verdict import Check, Outcome, Place
from evalkit.results import Results
from evalkit.results.diff import Changes
from evalkit.results.input_diff import Label, count_items, tasks_of
from evalkit.results.records import CELL_KEYS
from evalkit.results.scores import is_enough, thin_in_words

CAUSES = 8
"""Of a change of vectors that are named."""
_TASK, _OLD, _NEW = ("task", "split"), ("model_a", "reranker_a"), ("model_b", "reranker_b")


def checks(
    before: Results, after: Results, changes: Changes, drifts: Mapping[str, Drift | str], policy: Policy
) -> list[Check]:
    """Return all checks of a policy but the ratios of cost. `drifts` has by model what changed, or why that is not
    known.

    Raises ConfigError for a metric, a tag or a query of the policy that there is not.
    """
    found = [_apart(each.task, each.split, each.reason) for each in changes.apart]
    failed = {tuple(failure[key] for key in CELL_KEYS) for failure in after.failures}
    found += [_cut_anew(label, before, after) for label in cut_anew(before, after)]
    found += [_lost(cell) for cell in changes.only_a if cell not in failed]
    found += [_failed(failure) for failure in after.failures]
    of_scores = margin_checks(before, after, changes, policy)
    of_scores += list(_floors(after, policy.floors))
    of_scores += list(_must_pass(after, changes, policy.must_pass))
    found += of_scores
    if not any(check.outcome in ("pass", "fail", "undecided") for check in found):
        found.append(_nothing_told(of_scores))
    inputs = changes.inputs[changes.inputs["what"].str.startswith("package ")]
    changed = zip(inputs["what"].str.removeprefix("package "), inputs["a"], inputs["b"], strict=True)
    packages = [f"{package} {then} → {now}" for package, then, now in changed]
    return [*found, *(_drift(model, told, policy, packages) for model, told in drifts.items())]


def _apart(task: str, split: str, reason: str) -> Check:
    return Check(
        f"{task} ({split}): the same data", "undecided",
        f"{reason}. Make a new baseline, or compare on the common queries: --common. If the documents were only cut "
        "anew, say so: --rechunked.",
    )  # fmt: skip


def _nothing_told(of_scores: Sequence[Check]) -> Check:
    return Check(
        "any check of a score", "undecided",
        f"there are {len(of_scores)}, and none came to a result, so nothing says that the run is good enough. Take "
        "more queries or a wider margin, or set a floor.",
    )  # fmt: skip


def _cut_anew(label: Label, before: Results, after: Results) -> Check:
    then, now = (tasks_of(run)[label]["documents"] for run in (before, after))
    return Check(
        f"{label[0]} ({label[1]}): chunks", "note",
        f"its documents were cut anew, {then} then, {now} now: the same questions are compared, each with its own "
        "relevant chunks.",
    )  # fmt: skip


def _lost(cell: tuple[str, ...]) -> Check:
    task, split, model, reranker = cell
    return Check(
        f"{cell_name(model, reranker)} on {task} ({split}): there", "undecided",
        "it is in the baseline and not in the run. If another took its place, say so: --pair 'OLD -> NEW'.",
    )  # fmt: skip


def _failed(failure: Mapping[str, str]) -> Check:
    cell = f"{cell_name(failure['model'], failure['reranker'])} on {failure['task']} ({failure['split']})"
    return Check(f"{cell}: a score", "undecided", f"it has none: {failure['reason']}")


def _floors(after: Results, floors: Mapping[str, float]) -> Iterator[Check]:
    for metric, least in floors.items():
        rows = after.scores[after.scores["metric"] == metric]
        if rows.empty:
            known = sorted({str(each) for each in after.scores["metric"].unique()})
            raise ConfigError(f"the run has no {metric!r} to hold to a floor. {did_you_mean(metric, known)}")
        for row in rows.to_dict("records"):
            name = f"{cell_name(row['model'], row['reranker'])} on {row['task']} ({row['split']})"
            score, items = float(row["score"]), count_items(after, (row["task"], row["split"]))
            told = f"it is {score:.4f} (95 % interval {row['ci_low']:.4f} to {row['ci_high']:.4f})."
            sign = after.metric(metric).sign
            outcome: Outcome = "pass" if sign * score >= sign * least else "fail"
            if math.isnan(score):
                outcome, told = "undecided", "it is undefined."
            elif not is_enough(row["n"], items):
                outcome, told = "undecided", f"it {thin_in_words(row['n'], items, 'items')}: {told}"
            yield Check(f"{name}: {metric} at {'least' if sign > 0 else 'most'} {least:g}", outcome, told)


def _must_pass(after: Results, changes: Changes, queries: Sequence[str]) -> Iterator[Check]:
    """Check that each query named has a relevant document among the first k, in every cell."""
    if not queries:
        return
    found = after.evidence.first_relevant.astype(dict.fromkeys([*CELL_KEYS, "query"], str))
    unknown = sorted({*queries} - {*found["query"]})
    if unknown:
        raise ConfigError(
            f"no retrieval task of the run has the queries {', '.join(map(repr, unknown))}, which must pass. "
            "Take them from the list, or give the tasks that have them."
        )
    k = max(after.provenance["top_k"])
    asked = found[found["query"].isin(queries)]
    pairs = changes.cells[[*_TASK, *_OLD, *_NEW]].astype(str).to_numpy().tolist()
    old_of = {(task, split, *new): (model, reranker) for task, split, model, reranker, *new in pairs}
    missed = asked[~(asked["rank"] <= k)]
    for task, split, model, reranker, query in missed[[*CELL_KEYS, "query"]].to_numpy().tolist():
        old = old_of.get((task, split, model, reranker), (model, reranker))
        place = Place((task, split), old, (model, reranker))
        reason = f"no relevant document is among the first {k}."
        yield Check(f"{place}: the query {query} must pass", "fail", reason, place, (query,))
    if missed.empty:
        yield Check(
            "queries that must pass", "pass", f"{len(asked)} answers have a relevant document in the first {k}."
        )


def _drift(model: str, told: Drift | str, policy: Policy, packages: Sequence[str]) -> Check:
    name = f"{model}: the vectors of before"
    if isinstance(told, str):
        return Check(name, "undecided", told)
    shares = f"lowest cosine {told.cosine:.6f}, neighbours kept {told.neighbours:.3f}"
    what = "they cannot be compared" if math.isnan(told.cosine) else shares
    more = f"; and {len(told.causes) - CAUSES} more" if len(told.causes) > CAUSES else ""
    causes = f" What changed: {'; '.join(told.causes[:CAUSES])}{more}." if told.causes else ""
    kept = told.cosine >= policy.cosine and told.neighbours >= policy.neighbours
    # What is named matters even where the canaries' directions are kept, as lengths do under the dot product.
    changed: Outcome = "fail" if policy.drift == "fail" else "note"
    if kept and not told.causes:
        return Check(name, "pass", f"{what}.")
    causes += f" Packages that differ: {', '.join(packages)}." if packages else ""
    meant = "" if policy.drift == "warn" else " If that is meant: --drift warn, or a new baseline."
    return Check(name, changed, f"{what}.{causes}{meant}")
