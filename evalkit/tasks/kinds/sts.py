"""Semantic textual similarity: pairs of sentences, whose similarity is held against a gold score."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import FiniteFloat, field_validator

from evalkit.metrics.metric import Metric, of_pairs
from evalkit.metrics.similarity import paired_similarities
from evalkit.tasks.build import make_sts
from evalkit.tasks.checks import Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._kind import Encode, Loading, TaskKind
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import PAIRS, Row
from evalkit.terms import Similarity
from evalkit.types import FloatArray, StsTask

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo


class StsDeclaration(Declaration):
    """A task of sentence pairs: `splits` names a file of pairs each."""

    score_range: tuple[FiniteFloat, FiniteFloat] | None = None

    @field_validator("score_range")
    @classmethod
    def _ascends(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError("the first number must be below the second")
        return bounds


class Sts(TaskKind[StsTask]):
    """Correlations of the similarity of two vectors with the gold score of their pair of sentences."""

    name = "sts"
    title = "STS"
    items = "pairs"
    texts_are = "sentences"
    scale = 100
    form = "{:.1f}"
    declaration = StsDeclaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> StsTask:
        """Read pairs with a score each."""
        problems = Problems(info.source)
        files = info.splits[split]
        bounds = info.declared.score_range if isinstance(info.declared, StsDeclaration) else None
        pairs = chain.from_iterable(pairs_of(read_rows(path, PAIRS, problems), bounds) for path in files)
        source = problems.place_of(files)
        return make_sts(info.name, split, pairs, bounds, source, problems, how.on_bad_data, how.max_items, how.seed)

    def facts(self, task: StsTask) -> dict[str, Any]:
        """Count the pairs."""
        return {"pairs": len(task.gold)}

    def ids(self, task: StsTask) -> Sequence[str]:
        """Name the pairs by their rows."""
        return task.pair_ids

    def texts(self, task: StsTask) -> Sequence[str]:
        """List the sentences, each once."""
        return list(dict.fromkeys((*task.sentences1, *task.sentences2)))

    def metrics(self, task: StsTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Choose correlations."""
        return of_pairs(names)

    def gold(self, task: StsTask) -> FloatArray:
        """Return the gold scores, in the data's units."""
        return task.gold

    def items_as_texts(self, task: StsTask) -> Iterator[tuple[str, str, str]]:
        """Give both sentences of each pair."""
        return zip(task.pair_ids, task.sentences1, task.sentences2, strict=True)

    def observe(self, task: StsTask, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Compute the similarities of the pairs; see `paired_similarities`."""
        return similarities_of_pairs(task.sentences1, task.sentences2, encode)

    def notes(self, values: Mapping[str, FloatArray]) -> tuple[str, ...]:
        """Say that all similarities are equal, if they are."""
        return why_undefined(values)

    def size(self, facts: Mapping[str, Any], form: str = "") -> str:
        """Say how many pairs there are."""
        return f"{self.asked(facts, form)} of sentences"


def similarities_of_pairs(
    sentences1: Sequence[str], sentences2: Sequence[str], encode: Encode
) -> Mapping[str, FloatArray]:
    """Compute how alike the two sentences of each pair are, by every similarity; see `paired_similarities`."""
    sentences = list(dict.fromkeys((*sentences1, *sentences2)))
    row_of = {sentence: row for row, sentence in enumerate(sentences)}
    vectors = encode(sentences, "sentence")
    first, second = (np.array([row_of[sentence] for sentence in side]) for side in (sentences1, sentences2))
    return dict(paired_similarities(vectors[first], vectors[second]).items())


def why_undefined(similarities: Mapping[str, FloatArray]) -> tuple[str, ...]:
    """Say that a model finds all pairs of sentences equally similar, which correlates with nothing."""
    cosine = similarities["cosine"]
    known = cosine[np.isfinite(cosine)]
    if not known.size or np.ptp(known) > 0:
        return ()
    return (f"All its similarities are equal ({known.size:,} pairs): no correlation is defined.",)


def pairs_of(rows: Iterable[Row], bounds: tuple[float, float] | None) -> Iterator[tuple[str, str, float]]:
    """Read sentence pairs and their scores of rows with the fields of `columns.PAIRS`; scores are in `bounds`."""
    for row in rows:
        first, second = row.written("sentence1"), row.written("sentence2")
        score = row.number("score")
        if bounds and math.isfinite(score):
            low, high = bounds
            if not low <= score <= high:
                row.report(f"score outside {low:g} to {high:g}")
        yield first, second, score
