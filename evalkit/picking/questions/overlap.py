"""How many of its words a question shares with the passages that answer it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evalkit.picking.documents import Chunk
from evalkit.picking.questions._filters import words
from evalkit.picking.questions._question import Question, QuestionSet
from evalkit.picking.questions._task import relevant

TAG = "overlap"
"""The tag of a question that says in which half it is."""
HALVES = ("low", "high")
REAL = "33 to 44 %"
"""The overlap of questions that people wrote with what answers them: the sets of benchmarks/made_questions.py."""


def overlap(question: str, passage: str) -> float:
    """Return the share of a question's different words that stand in a passage; NaN for a question without words."""
    asked = set(words(question))
    return len(asked.intersection(words(passage))) / len(asked) if asked else float("nan")


def told(share: float) -> str:
    """Say what the mean overlap of a set is, beside that of real questions."""
    return (
        f"{share:.0%} of a question's words stand in the passages that answer it; of real questions {REAL} on four "
        "known sets."
    )


def with_overlap(questions: QuestionSet, chunks: Sequence[Chunk]) -> QuestionSet:
    """Return the questions, each tagged with its half by overlap, and the mean overlap in their provenance.

    A question's overlap is its mean over the chunks that answer it. Questions at the median are in the low half.
    """
    shares = np.array([_of_question(question, chunks) for question in questions.questions])
    middle = np.nanmedian(shares)
    tagged = tuple(
        replace(question, tags={**question.tags, TAG: HALVES[bool(share > middle)]})
        for question, share in zip(questions.questions, shares.tolist(), strict=True)
    )
    provenance = {**questions.provenance, TAG: float(np.nanmean(shares))}
    return replace(questions, questions=tagged, provenance=provenance)


def _of_question(question: Question, chunks: Sequence[Chunk]) -> float:
    answering = {
        name
        for span in question.spans
        for name in relevant(span, [each for each in chunks if each.file == span.file])
    }
    found = [overlap(question.text, chunk.text) for chunk in chunks if chunk.id in answering]
    return float(np.mean(found)) if found else float("nan")
