"""What makes a question unfit to be asked, told from its words, its answer and the documents."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import regex

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
_QUELLE = "(?:text|kontext|abschnitt|absatz|auszug|artikel|dokument|passage|textstelle|textabschnitt)(?:s|es)?"
CONTEXT = re.compile(
    rf"\b(?:the|this|that|these|above|given|provided|following|preceding)\s+(?:\w+\s+)?{_SOURCE}\b"
    r"|\b(?:mentioned|described|discussed|stated|listed|provided|given)\s+(?:above|below|here)\b"
    rf"|\b(?:im|laut(?:\s+de[mrs])?|diese[mrs]|obige[mnr])\s+(?:\w+\s+)?{_QUELLE}\b"
    r"|\boben\s+(?:genannt|erwähnt|beschrieben)\w*|\b(?:genannt|erwähnt|beschrieben)\w*\s+oben\b"
    r"|(?:本|上|该|此|这段|这篇|以上|上述)(?:文章|段落|内容|材料|文本|文(?![件档化字明献艺学法本书]))"
    r"|(?<![中英日外法德俄作语论公])文中|文章中|段落中",
    re.IGNORECASE,
)
"""A question that only makes sense beside the passage, in English, German and Chinese."""
ASKS = regex.compile(
    r"""[?？؟;;՞፧⁇][\p{Pe}\p{Pf}"'*_]*$|か[。．」]*$|[\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}][^.!]*$"""
)
"""The end of a question, in all scripts; those of Thai, Lao, Khmer and their like need no mark."""


@dataclass(frozen=True)
class Candidate:
    """A question that may be asked: its kind, where its answers are, their words, and what it was made of.

    One that nothing answers has no spans.
    """

    kind: str
    text: str
    spans: tuple[Span, ...]
    answers: tuple[str, ...]
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
        "too short a question": lambda each: is_short(each.text),
        **reasons,
        "answer in several places": lambda each: any(
            everything.count(" ".join(answer.split())) > 1 for answer in each.answers
        ),
        "near-duplicate": lambda each: any(is_near(set(words(each.text)), other) for other in seen),
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


def copies(text: str, passage: str) -> bool:
    """Tell whether a question is made of the passage's own phrases."""
    asked, there = _runs(words(text)), _runs(words(passage))
    return bool(asked) and len(asked & there) > COPIED * len(asked)


def names_the_context(text: str) -> bool:
    """Tell whether a question speaks of the passage it was made of."""
    return CONTEXT.search(text) is not None


def is_question(text: str) -> bool:
    """Tell whether a text ends as a question does."""
    return ASKS.search(text.strip()) is not None


def is_short(text: str) -> bool:
    """Tell whether a question has too few words to say what is asked."""
    return len(words(text)) < WORDS_ASKED


def is_near(asked: set[str], other: set[str]) -> bool:
    """Tell whether two questions, given by their words, are nearly the same."""
    return len(asked & other) >= SAME * len(asked | other)


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return tokenization.words(text.lower())


def _runs(found: Sequence[str]) -> set[tuple[str, ...]]:
    return {tuple(found[start : start + RUN]) for start in range(len(found) - RUN + 1)}
