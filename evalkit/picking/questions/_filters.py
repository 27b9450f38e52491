"""What makes a question unfit to be asked, told from its words, its answer and the documents."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit import tokenization
from evalkit.picking.documents import Folder
from evalkit.picking.questions._question import Span

WORDS_ASKED = 3
"""The fewest words of a question."""
SAME = 0.8
"""Share of common words from which two questions are near-duplicates."""
RUN, COPIED = 3, 0.5
"""A question copies the passage if more than this share of its runs of so many words stand there."""
_SOURCE = "(?:context|passage|text|excerpt|paragraph|snippet|document|article|section|information|author)s?"
CONTEXT = re.compile(
    rf"\b(?:the|this|that|these|above|given|provided|following|preceding)\s+(?:\w+\s+)?{_SOURCE}\b"
    r"|\b(?:mentioned|described|discussed|stated|listed|provided|given)\s+(?:above|below|here)\b",
    re.IGNORECASE,
)
"""A question that only makes sense beside the passage."""


@dataclass(frozen=True)
class Candidate:
    """A question that may be asked: its kind, the words that answer it, where they are, and what it was made of."""

    kind: str
    text: str
    span: Span
    answer: str
    passage: str


Reasons = Mapping[str, Callable[[Candidate], bool]]
"""Reasons to leave a candidate out, by name."""


def filtered(
    candidates: Sequence[Candidate], folder: Folder, reasons: Reasons, drops: Counter[str]
) -> list[Candidate]:
    """Return the candidates that can be asked, in order; each dropped one is counted with the first reason that
    holds.

    To `reasons` come those of all questions: too short, an answer in several places, a near-duplicate of one kept.
    """
    everything = " ".join(" ".join(file.text.split()) for file in folder.files)
    seen: list[set[str]] = []
    all_reasons: Reasons = {
        "too short a question": lambda each: len(words(each.text)) < WORDS_ASKED,
        **reasons,
        "answer in several places": lambda each: everything.count(" ".join(each.answer.split())) > 1,
        "near-duplicate": lambda each: _near(set(words(each.text)), seen),
    }
    kept: list[Candidate] = []
    for candidate in candidates:
        reason = next((reason for reason, holds in all_reasons.items() if holds(candidate)), None)
        if reason:
            drops[reason] += 1
        else:
            kept.append(candidate)
            seen.append(set(words(candidate.text)))
    return kept


def copies(candidate: Candidate) -> bool:
    """Tell whether a question is made of the passage's own phrases."""
    asked, there = _runs(words(candidate.text)), _runs(words(candidate.passage))
    return bool(asked) and len(asked & there) > COPIED * len(asked)


def names_the_context(candidate: Candidate) -> bool:
    """Tell whether a question speaks of the passage it was made of."""
    return CONTEXT.search(candidate.text) is not None


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return tokenization.words(text.lower())


def _runs(found: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(found[start : start + RUN]) for start in range(len(found) - RUN + 1)}


def _near(own: set[str], seen: Sequence[set[str]]) -> bool:
    """Tell whether a question has nearly the words of one of those seen."""
    return any(len(own & other) >= SAME * len(own | other) for other in seen)
