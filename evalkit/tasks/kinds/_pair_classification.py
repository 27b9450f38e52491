"""Pair classification: whether two sentences belong together, told by how similar their vectors are."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evalkit.metrics.metric import Metric
from evalkit.stats.intervals import jackknife_values
from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.build import sample
from evalkit.tasks.checks import Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._bitext import SENTENCES
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.tasks.kinds.sts import similarities_of_pairs
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import Fields
from evalkit.terms import SIMILARITIES, Similarity
from evalkit.types import FloatArray, IntArray, Task

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

LABELLED_PAIRS = Fields({**SENTENCES.needed, "label": ("labels", "gold", "goldlabel", "isduplicate")}, number="label")
METRICS = {"ap": "AP", "f1": "F1", "accuracy": "Accuracy"}
FEWEST = 2
"""Pairs of each label: with one, nothing is left to tell when it is left out."""


@dataclass(frozen=True)
class PairClassificationTask(Task):
    """Pairs of sentences and their labels, int64 of shape (n_pairs,): 1 where the two belong together, else 0."""

    type: ClassVar[str] = "pair_classification"

    first: tuple[str, ...]
    second: tuple[str, ...]
    labels: IntArray


class PairClassification(TaskKind[PairClassificationTask]):
    """Average precision of the pairs by their similarity; F1 and accuracy at the best threshold, as in mteb."""

    name = "pair_classification"
    title = "Pair classification"
    items = "pairs"
    texts_are = "sentences"
    declaration = Declaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> PairClassificationTask:
        """Read pairs with a label each."""
        problems = Problems(info.source)
        files = info.splits[split]
        pairs = list(chain.from_iterable(_pairs(path, problems) for path in files))
        taken, drawn_from = sample(pairs, how.max_items, how.seed)
        if not problems.fatal:
            _check_labels([label for *_, label in taken], len(pairs), problems.place_of(files), problems)
        problems.settle(how.on_bad_data)
        first, second, labels = zip(*taken, strict=True)
        return PairClassificationTask(
            info.name,
            split,
            first,
            second,
            np.array(labels, dtype=np.int64),
            content_hash=hash_rows({"type": self.name}, ({"pair": pair} for pair in taken)),
            notes=problems.notes,
            sampled_from=drawn_from,
        )

    def facts(self, task: PairClassificationTask) -> dict[str, Any]:
        """Count the pairs, and those of the label 1."""
        return {"pairs": len(task.labels), "positive_pairs": int(task.labels.sum())}

    def ids(self, task: PairClassificationTask) -> Sequence[str]:
        """Name the pairs by their rows."""
        return [str(row) for row in range(len(task.labels))]

    def texts(self, task: PairClassificationTask) -> Sequence[str]:
        """List the sentences, each once."""
        return list(dict.fromkeys((*task.first, *task.second)))

    def metrics(self, task: PairClassificationTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Give all three by every similarity; AP by the cosine is the main one.

        The interval of AP holds from about fifteen pairs of the label 1 on. The best threshold is chosen on the pairs
        that are scored, so F1 and accuracy at it are high by up to their standard error: their intervals hold for
        what as many pairs score in the mean, and for what all pairs would score in 91 % of cases or more.
        """
        return tuple(
            Metric(
                f"{name}({similarity})", f"{title} {similarity}", 0, 1, compared="means", influence=True,
                in_tables=name == "ap" or similarity == "cosine",
            )
            for name, title in METRICS.items()
            for similarity in SIMILARITIES
        )  # fmt: skip

    def items_as_texts(self, task: PairClassificationTask) -> Iterator[tuple[str, str, str]]:
        """Give both sentences of each pair."""
        return zip(self.ids(task), task.first, task.second, strict=True)

    def observe(
        self, task: PairClassificationTask, encode: Encode, similarity: Similarity
    ) -> Mapping[str, FloatArray]:
        """Compute each pair's part in the metrics; NaN where a sentence has no representation."""
        found: dict[str, FloatArray] = {}
        for name, scores in similarities_of_pairs(task.first, task.second, encode).items():
            values = np.full((len(METRICS), len(scores)), np.nan)
            known = np.isfinite(scores)
            values[:, known] = pair_values(scores[known], task.labels[known])
            found |= {f"{metric}({name})": row for metric, row in zip(METRICS, values, strict=True)}
        return found

    def size(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say how many pairs there are, and how many belong together."""
        return f"{self.asked(facts, form)} of sentences, {facts['positive_pairs']:{form}} of them of the label 1"


def pair_values(scores: FloatArray, labels: IntArray) -> FloatArray:
    """Compute each pair's part in AP, F1 and accuracy: float64 of shape (3, n_pairs); see `jackknife_values`.

    `scores` are finite, `labels` 0 or 1, both of shape (n_pairs,). Equal scores are one step: AP is scikit-learn's
    `average_precision_score`, and no threshold splits them. A threshold lies between two scores, as in mteb: that all
    pairs, or none, belong together is no choice. NaN with fewer than two pairs of a label.
    """
    counts = np.bincount(labels, minlength=2)
    if counts.min() < FEWEST:
        return np.full((3, len(scores)), np.nan)
    steps = _Steps.of(scores, labels)
    wholes = steps.average_precision(), steps.best(_f1), steps.best(_accuracy)
    without = steps.average_precision_without(), steps.best_without(_f1), steps.best_without(_accuracy)
    return np.stack([jackknife_values(whole, left) for whole, left in zip(wholes, without, strict=True)])


AtThreshold = Callable[[FloatArray, FloatArray, int, int], FloatArray]
"""Gives a metric of how many pairs of the label 1, and pairs, are above each threshold, and how many there are."""


def _f1(hits: FloatArray, above: FloatArray, positives: int, pairs: int) -> FloatArray:
    return 2 * hits / (above + positives)


def _accuracy(hits: FloatArray, above: FloatArray, positives: int, pairs: int) -> FloatArray:
    return (2 * hits - above + pairs - positives) / pairs


@dataclass(frozen=True)
class _Steps:
    """Pairs by their score, highest first, equal scores as one step: arrays of shape (n_steps,), as float64.

    Above the end of a step there are `above` pairs, `hits` of them of the label 1; `size` and `own_hits` are those of
    the step itself. `step` is the step of each pair, int64, and `label` its label, of shape (n_pairs,). Without one
    pair each step before it stays as it is, and from its own on there is one pair less: so a metric without each pair
    is a running sum, or maximum, from either end.
    """

    label: IntArray
    step: IntArray
    size: FloatArray
    own_hits: FloatArray
    above: FloatArray
    hits: FloatArray

    @classmethod
    def of(cls, scores: FloatArray, labels: IntArray) -> "_Steps":
        """Sort the pairs by their scores."""
        _, step = np.unique(-scores, return_inverse=True)
        size, own_hits = np.bincount(step).astype(np.float64), np.bincount(step, labels).astype(np.float64)
        return cls(labels, step, size, own_hits, np.cumsum(size), np.cumsum(own_hits))

    @property
    def positives(self) -> int:
        """Return how many pairs have the label 1."""
        return int(self.hits[-1])

    def average_precision(self) -> float:
        """Sum the precision at each step times its share of the label 1."""
        return float((self.own_hits * self.hits / self.above).sum() / self.positives)

    def average_precision_without(self) -> FloatArray:
        """Compute the average precision without each pair: of shape (n_pairs,)."""
        left = np.empty(len(self.label))
        before = np.cumsum(np.append(0, self.own_hits * self.hits / self.above))
        for label in (0, 1):
            precision = (self.hits - label) / np.maximum(self.above - 1, 1)
            after = np.append(np.cumsum((self.own_hits * precision)[::-1])[::-1], 0)
            own = (self.own_hits - label) * precision
            of_step = (before[:-1] + own + after[1:]) / (self.positives - label)
            left = np.where(self.label == label, of_step[self.step], left)
        return left

    def best(self, metric: AtThreshold) -> float:
        """Return the metric at the threshold where it is highest; 0 if there is no threshold."""
        values = metric(self.hits[:-1], self.above[:-1], self.positives, len(self.label))
        return float(values.max(initial=0))

    def best_without(self, metric: AtThreshold) -> FloatArray:
        """Compute the same without each pair: of shape (n_pairs,)."""
        left = np.empty(len(self.label))
        hits, above = self.hits[:-1], self.above[:-1]
        for label in (0, 1):
            there = self.positives - label, len(self.label) - 1
            before = np.append(0, np.maximum.accumulate(metric(hits, above, *there)))
            later = np.where(above > 1, metric(hits - label, above - 1, *there), 0)  # no pair is above: no choice
            after = np.append(np.maximum.accumulate(later[::-1])[::-1], 0)
            # The last step goes with its only pair: then the threshold before it has nothing below it.
            if self.size[-1] == 1:
                before[-1] = before[-2]
            left = np.where(self.label == label, np.maximum(before, after)[self.step], left)
        return left


def _check_labels(labels: Sequence[int], there: int, where: str, problems: Problems) -> None:
    """Note that there are no pairs, or too few of a label, and whether those are a sample."""
    if not labels:
        problems.add(f"{where}: no pair of sentences with a label", fatal=True)
        return
    positives = sum(labels)
    if min(positives, len(labels) - positives) < FEWEST:
        drawn = "" if len(labels) == there else f" that were drawn of {there}; take more of them, or another seed"
        problems.add(
            f"{where}: {positives} pairs of the label 1 and {len(labels) - positives} of the label 0{drawn}; pair "
            f"classification needs at least {FEWEST} of each",
            fatal=True,
        )


def _pairs(path: Path, problems: Problems) -> Iterator[tuple[str, str, int]]:
    for row in read_rows(path, LABELLED_PAIRS, problems):
        first, second, label = row.written("sentence1"), row.written("sentence2"), row.grade("label")
        if label in (0, 1):
            yield first, second, int(label)
        elif np.isfinite(label):
            row.report("a label that is neither 0 nor 1", value=row.get("label"), fatal=True)
