"""Clustering: k-means of the vectors finds groups of texts, which are held against their labels."""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pydantic import PositiveInt
from scipy.special import ndtri, stdtrit, xlogy

from evalkit.metrics.metric import Metric
from evalkit.stats.intervals import jackknife_values
from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.build import sample
from evalkit.tasks.checks import Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._classification import read_labelled
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.terms import Similarity
from evalkit.types import FloatArray, IntArray, Task

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

EXPERIMENTS, SEED, BATCH_SIZE = 10, 42, 512
"""As in mteb's AbsTaskClustering: clusterings that are made, the seed of draws and of k-means, and its batches."""
ROUNDING = 1e-12
"""An entropy below this is 0."""


class ClusteringDeclaration(Declaration):
    """Texts with a label each, of one level, which `splits` names the files of.

    Of the texts so many are taken as `max_texts` (mteb's max_document_to_embed; None: all). Each of ten experiments
    clusters `texts_per_experiment` of them, drawn with replacement (mteb's max_documents_per_cluster).
    """

    max_texts: PositiveInt | None = None
    texts_per_experiment: PositiveInt = 16_384


@dataclass(frozen=True)
class ClusteringTask(Task):
    """Texts and their labels, int64 of shape (n_texts,), numbers from 0 in the order of their names.

    `draws` are the rows that each experiment clusters, int64 of shape (n_experiments, texts_per_experiment).
    """

    type: ClassVar[str] = "clustering"

    contents: tuple[str, ...]
    labels: IntArray
    names: tuple[str, ...]
    draws: IntArray


class Clustering(TaskKind[ClusteringTask]):
    """V-measure of k-means with as many clusters as labels, the mean over ten experiments, by mteb's protocol."""

    name = "clustering"
    title = "Clustering"
    items = "texts"
    declaration = ClusteringDeclaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> ClusteringTask:
        """Read the texts, and draw those of each experiment as mteb draws them."""
        problems = Problems(info.source)
        files = info.splits[split]
        declared: Any = info.declared
        rows = list(chain.from_iterable(read_labelled(path, problems) for path in files))
        taken, _ = sample(rows, how.max_items, how.seed)
        rng = random.Random(SEED)
        if declared.max_texts is not None:  # if there are not so many, mteb still shuffles them
            taken = rng.sample(taken, min(declared.max_texts, len(taken)))
        names = sorted({label for _, label in taken})
        if not problems.fatal:
            _check(len(taken), len(rows), names, declared.texts_per_experiment, problems.place_of(files), problems)
        problems.settle(how.on_bad_data)
        size = declared.texts_per_experiment
        draws = [rng.choices(range(len(taken)), k=size) for _ in range(EXPERIMENTS)]
        number_of = {label: number for number, label in enumerate(names)}
        settings = {"type": self.name, "max_texts": declared.max_texts, "texts_per_experiment": size}
        return ClusteringTask(
            info.name,
            split,
            tuple(text for text, _ in taken),
            np.array([number_of[label] for _, label in taken], dtype=np.int64),
            tuple(names),
            np.array(draws, dtype=np.int64),
            content_hash=hash_rows(settings, ({"text": pair} for pair in taken)),
            notes=problems.notes,
            sampled_from=len(rows) if len(taken) < len(rows) else None,
        )

    def facts(self, task: ClusteringTask) -> dict[str, Any]:
        """Count the texts and labels."""
        return {"texts": len(task.contents), "labels": len(task.names), "texts_per_experiment": task.draws.shape[1]}

    def ids(self, task: ClusteringTask) -> Sequence[str]:
        """Name the texts by their rows."""
        return [str(row) for row in range(len(task.contents))]

    def texts(self, task: ClusteringTask) -> Sequence[str]:
        """List the texts, each once."""
        return list(dict.fromkeys(task.contents))

    def metrics(self, task: ClusteringTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Give the V-measure (Rosenberg and Hirschberg 2007).

        It is not corrected for chance: of fewer texts it is higher. Scores are compared over the same texts only, and
        the interval is of what samples of as many texts score in the mean. In a simulation of six labels it held with
        sixty texts a label, and was a little narrow with ten or twenty (92 %): how k-means finds other clusters in
        other texts is seen only in part by ten experiments on the same ones.
        """
        return (Metric("v_measure", "V-measure", 0, 1, compared="means", influence=True),)

    def items_as_texts(self, task: ClusteringTask) -> Iterator[tuple[str, str, str]]:
        """Give each text and its label."""
        return zip(self.ids(task), task.contents, (task.names[label] for label in task.labels), strict=True)

    def observe(self, task: ClusteringTask, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Cluster the texts of each experiment. A text without a known word is a vector like any other, of zeros."""
        from sklearn.cluster import MiniBatchKMeans  # type: ignore[import-untyped]  # takes a second

        texts = self.texts(task)
        row_of = {text: row for row, text in enumerate(texts)}
        vectors = encode(texts, "sentence")[:]
        row = np.array([row_of[text] for text in task.contents])
        parts = []
        for draw in task.draws:
            means = MiniBatchKMeans(len(task.names), batch_size=BATCH_SIZE, n_init=1, random_state=SEED)
            clusters = np.zeros(len(row), dtype=np.int64)
            clusters[draw] = means.fit_predict(vectors[row[draw]])  # all draws of a text are in one cluster
            parts.append(v_measure_values(task.labels, clusters, np.bincount(draw, minlength=len(row))))
        return {"v_measure": over_experiments(np.stack(parts))}

    def size(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say how many texts and labels there are."""
        return f"{self.asked(facts, form)} of {facts['labels']:{form}} labels"


def v_measure_values(labels: IntArray, clusters: IntArray, times: IntArray) -> FloatArray:
    """Compute each text's part in the V-measure of a clustering: float64 of shape (n_texts,); see `jackknife_values`.

    Labels, clusters and how many `times` each text was drawn are int64 of shape (n_texts,). A text is left out with
    all its draws, while the others keep their clusters. A text that was not drawn has the V-measure itself.
    """
    cells = labels * (clusters.max() + 1) + clusters
    counts = [np.bincount(group, times) for group in (labels, clusters, cells)]
    own = [count[group] for count, group in zip(counts, (labels, clusters, cells), strict=True)]
    whole = _v_measure(times.sum(), *(xlogy(count, count).sum() for count in counts))
    without = (
        xlogy(count, count).sum() - xlogy(mine, mine) + xlogy(mine - times, mine - times)
        for count, mine in zip(counts, own, strict=True)
    )
    return jackknife_values(float(whole), _v_measure(times.sum() - times, *without))


def _v_measure(total: Any, labels: Any, clusters: Any, cells: Any) -> Any:
    """Compute the V-measure of the sums of n log n over labels, clusters and cells: twice the mutual information over
    the sum of both entropies; 1 where there is one label and one cluster.
    """
    log = np.log(total)
    entropies = 2 * log - (labels + clusters) / total
    mutual = log - (labels + clusters - cells) / total
    return np.where(entropies > ROUNDING, 2 * mutual / np.maximum(entropies, ROUNDING), 1.0)


def over_experiments(values: FloatArray) -> FloatArray:
    """Average values of texts over experiments, and let their spread tell how the experiments differ as well.

    `values` is float64 of shape (n_experiments, n_texts), a row's mean is the score of an experiment. K-means finds
    other clusters in each draw, so a mean over ten experiments is as uncertain as their spread says, however many
    texts there are. Texts take turns: each has the deviation of one experiment's score, times such a factor that the
    variance of the values, over n, is that of the influences and that of the mean of the experiments. Ten tell their
    spread with nine degrees of freedom, hence Student's quantile over the normal one.
    """
    experiments, n = values.shape
    scores = values.mean(axis=1)
    turns = (scores - scores.mean())[np.arange(n) % experiments]
    wider = stdtrit(experiments - 1, 0.975) / ndtri(0.975)
    averaged: FloatArray = values.mean(axis=0) + wider * np.sqrt(n / (experiments - 1)) * (turns - turns.mean())
    return averaged


def _check(taken: int, there: int, labels: Sequence[str], size: int, where: str, problems: Problems) -> None:
    """Note that the texts have no groups to be found: no texts, one label, or a label for each; or small draws."""
    texts = f"{where}: all {taken} texts" + (f" that were taken of {there}" if taken < there else "")
    if not taken:
        problems.add(f"{where}: no text with a label", fatal=True)
    elif len(labels) == 1:
        problems.add(f"{texts} have the label {labels[0]!r}; clustering needs at least two labels", fatal=True)
    elif len(labels) == taken:
        problems.add(f"{texts} have a label of their own; clustering needs texts that share a label", fatal=True)
    elif size < len(labels):
        problems.add(
            f"texts_per_experiment is {size}, fewer than the {len(labels)} labels of {where}; give at least as many",
            fatal=True,
        )
