"""Classification: a logistic regression on frozen vectors of training texts tells the labels of others."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import PositiveInt

from evalkit.metrics.metric import Metric
from evalkit.stats.intervals import influence_values
from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.build import sample
from evalkit.tasks.checks import Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import Fields
from evalkit.terms import Similarity
from evalkit.types import FloatArray, IntArray, Task

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

LABELLED = Fields({"text": ("sentence", "content", "utterance", "query"), "label": ("labels", "category", "intent")})
EXPERIMENTS, SEED, ITERATIONS = 10, 42, 100
"""As in mteb's AbsTaskClassification: training samples that are drawn, the seed of each draw, and of the solver."""


class ClassificationDeclaration(Declaration):
    """Texts with a label each: `train` names the file that is learned from, `splits` those that are told.

    Of each label so many `samples_per_label` are learned from, in ten draws; or "all" that there are, once.
    """

    files: ClassVar[tuple[str, ...]] = ("train",)
    train: str
    samples_per_label: PositiveInt | Literal["all"] = 8


@dataclass(frozen=True)
class ClassificationTask(Task):
    """Texts and their labels, numbers from 0 in the order of their names, and those that are learned from."""

    type: ClassVar[str] = "classification"

    train: tuple[str, ...]
    train_labels: IntArray
    test: tuple[str, ...]
    test_labels: IntArray
    labels: tuple[str, ...]
    samples_per_label: int | None


class Classification(TaskKind[ClassificationTask]):
    """Accuracy and macro F1, means over the draws of training texts, by mteb's protocol."""

    name = "classification"
    title = "Classification"
    items = "texts"
    declaration = ClassificationDeclaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> ClassificationTask:
        """Read the texts of the training split and of this one."""
        problems = Problems(info.source)
        train, test = (
            list(chain.from_iterable(read_labelled(path, problems) for path in files))
            for files in (info.files["train"], info.splits[split])
        )
        labels = sorted({label for _, label in train})
        for label, count in Counter(label for _, label in test if label not in labels).items():
            problems.add(
                f"{problems.place_of(info.splits[split])}: a label that no training text has", f"{label!r} ({count})"
            )
        if not (train and test) and not problems.fatal:
            problems.add("no texts with labels to learn from, or none to tell", fatal=True)
        if len(labels) < 2 and not problems.fatal:
            problems.add("the training texts have fewer than two labels", fatal=True)
        problems.settle(how.on_bad_data)
        taken, drawn_from = sample(test, how.max_items, how.seed)
        # A label that is not learned is never told: it has a number of its own.
        number_of = {
            label: number for number, label in enumerate(dict.fromkeys([*labels, *(label for _, label in test)]))
        }
        declared: Any = info.declared
        per_label = None if declared.samples_per_label == "all" else int(declared.samples_per_label)
        rows = ({"train": pair} for pair in train), ({"test": pair} for pair in taken)
        return ClassificationTask(
            info.name,
            split,
            tuple(text for text, _ in train),
            np.array([number_of[label] for _, label in train], dtype=np.int64),
            tuple(text for text, _ in taken),
            np.array([number_of[label] for _, label in taken], dtype=np.int64),
            tuple(number_of),
            per_label,
            content_hash=hash_rows({"type": self.name, "samples_per_label": per_label}, chain(*rows)),
            notes=problems.notes,
            sampled_from=drawn_from,
        )

    def facts(self, task: ClassificationTask) -> dict[str, Any]:
        """Count the texts and labels."""
        return {
            "texts": len(task.test),
            "labels": len(task.labels),
            "training_texts": len(task.train),
            "samples_per_label": task.samples_per_label,
        }

    def ids(self, task: ClassificationTask) -> Sequence[str]:
        """Name the texts by their rows."""
        return [str(row) for row in range(len(task.test))]

    def texts(self, task: ClassificationTask) -> Sequence[str]:
        """List the texts that are learned from in any draw, and those that are told, each once."""
        learned = sorted({row for draw in _draws(task) for row in draw})
        return list(dict.fromkeys((*(task.train[row] for row in learned), *task.test)))

    def metrics(self, task: ClassificationTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Give accuracy, the main one, and macro F1, whose interval holds from about ten texts a label on."""
        return (
            Metric("accuracy", "Accuracy", 0, 1, compared="means"),
            Metric("macro_f1", "Macro F1", 0, 1, compared="means", influence=True),
        )

    def items_as_texts(self, task: ClassificationTask) -> Iterator[tuple[str, str, str]]:
        """Give each text and its label."""
        return zip(self.ids(task), task.test, (task.labels[label] for label in task.test_labels), strict=True)

    def observe(self, task: ClassificationTask, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Learn from each draw, and tell the labels."""
        from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]  # takes a second

        texts = self.texts(task)
        row_of = {text: row for row, text in enumerate(texts)}
        vectors = encode(texts, "sentence")[:]
        asked = vectors[[row_of[text] for text in task.test]]
        right, f1 = [], []
        for draw in _draws(task):
            classifier = LogisticRegression(max_iter=ITERATIONS, random_state=SEED)
            classifier.fit(vectors[[row_of[task.train[row]] for row in draw]], task.train_labels[draw])
            told = np.asarray(classifier.predict(asked), dtype=np.int64)
            right.append((told == task.test_labels).astype(np.float64))
            f1.append(_f1(task.test_labels, told, len(task.labels)))
        return {"accuracy": np.mean(right, axis=0), "macro_f1": np.mean(f1, axis=0)}

    def size(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say how many texts and labels there are, and what is learned from."""
        per_label = facts["samples_per_label"]
        learned = f"all {facts['training_texts']:{form}}" if per_label is None else f"{per_label} a label"
        return f"{self.asked(facts, form)} of {facts['labels']} labels, learned from {learned}"


def _draws(task: ClassificationTask) -> list[list[int]]:
    """Return the rows of training texts that each experiment learns from, drawn as mteb draws them."""
    if task.samples_per_label is None:
        return [list(range(len(task.train)))]
    order = list(range(len(task.train)))
    draws = []
    for _ in range(EXPERIMENTS):
        np.random.RandomState(SEED).shuffle(order)  # of the order that the last draw left
        seen: Counter[int] = Counter()
        draw = []
        for row in order:
            label = int(task.train_labels[row])
            if seen[label] < task.samples_per_label:
                seen[label] += 1
                draw.append(row)
        draws.append(draw)
    return draws


def _f1(gold: IntArray, told: IntArray, n_labels: int) -> FloatArray:
    """Return each text's part in the F1, the mean over the labels that are there or told; see `stats.influence`."""

    def macro(counts: IntArray) -> float:
        table = np.bincount(np.arange(len(counts)), counts, n_labels * n_labels).reshape(n_labels, n_labels)
        either = table.sum(axis=0) + table.sum(axis=1)
        return float((2 * np.diag(table)[either > 0] / either[either > 0]).mean())

    return influence_values(gold * n_labels + told, macro)


def read_labelled(path: Path, problems: Problems) -> Iterator[tuple[str, str]]:
    """Read a text and its label from each row of a file; a row without one is a problem."""
    for row in read_rows(path, LABELLED, problems):
        text, label = row.written("text"), row.identifier("label")
        if label is not None:
            yield text, label
