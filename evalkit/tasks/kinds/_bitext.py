"""Bitext mining: sentences and their translations, each to be found among all translations."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from evalkit.metrics.metric import Metric
from evalkit.search.exact import search
from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.build import sample
from evalkit.tasks.checks import Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import PAIRS, Fields
from evalkit.terms import Similarity
from evalkit.types import FloatArray, Task

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

SENTENCES = Fields({name: others for name, others in PAIRS.needed.items() if name != "score"})
METRICS = {"f1": "F1", "accuracy": "Accuracy", "precision": "Precision"}


@dataclass(frozen=True)
class BitextTask(Task):
    """Pairs of a sentence and its translation: row i of `first` means row i of `second`."""

    type: ClassVar[str] = "bitext"

    first: tuple[str, ...]
    second: tuple[str, ...]


class Bitext(TaskKind[BitextTask]):
    """F1 of the nearest translation of each sentence, weighted as in mteb's BitextMining.

    The classes are the translations. Each has one sentence, so that the weighted mean over classes is the mean over
    sentences: of a sentence's own class the precision is 1 over the sentences that its translation is nearest to, if
    it is nearest to this one, and else 0.
    """

    name = "bitext"
    title = "Bitext mining"
    items = "pairs"
    texts_are = "sentences"
    declaration = Declaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> BitextTask:
        """Read pairs of sentences."""
        problems = Problems(info.source)
        files = info.splits[split]
        pairs = list(chain.from_iterable(_pairs(path, problems) for path in files))
        if not pairs and not problems.fatal:
            problems.add(f"{problems.place_of(files)}: no pair of sentences", fatal=True)
        problems.settle(how.on_bad_data)
        taken, drawn_from = sample(pairs, how.max_items, how.seed)
        first, second = zip(*taken, strict=True)
        return BitextTask(
            info.name,
            split,
            first,
            second,
            content_hash=hash_rows({"type": self.name}, ({"pair": pair} for pair in taken)),
            notes=problems.notes,
            sampled_from=drawn_from,
        )

    def facts(self, task: BitextTask) -> dict[str, Any]:
        """Count the pairs."""
        return {"pairs": len(task.first)}

    def ids(self, task: BitextTask) -> Sequence[str]:
        """Name the pairs by their rows."""
        return [str(row) for row in range(len(task.first))]

    def texts(self, task: BitextTask) -> Sequence[str]:
        """List the sentences, each once."""
        return list(dict.fromkeys((*task.first, *task.second)))

    def metrics(self, task: BitextTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Give all three; F1 is the main one."""
        return tuple(Metric(name, title, 0, 1, compared="means") for name, title in METRICS.items())

    def items_as_texts(self, task: BitextTask) -> Iterator[tuple[str, str, str]]:
        """Give both sentences of each pair."""
        return zip(self.ids(task), task.first, task.second, strict=True)

    def observe(self, task: BitextTask, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Find the nearest translation of each sentence. A sentence without a representation finds none."""
        queries, corpus = encode(list(task.first), "sentence"), encode(list(task.second), "sentence")
        nearest = search(queries, corpus, self.ids(task), similarity, 1).documents[:, 0]
        rows = np.arange(len(nearest))
        right = (nearest == rows).astype(np.float64)
        often = np.bincount(nearest[nearest >= 0], minlength=len(rows))
        precision = right / np.maximum(often, 1)
        return {"f1": 2 * right / (1 + np.maximum(often, 1)), "accuracy": right, "precision": precision}


def _pairs(path: Path, problems: Problems) -> Iterator[tuple[str, str]]:
    for row in read_rows(path, SENTENCES, problems):
        yield row.written("sentence1"), row.written("sentence2")
