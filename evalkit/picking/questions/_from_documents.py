"""Questions made from the documents alone, without a language model: sentences and headings that are taken out.

A piece that is gone from the documents asks for what it stood in, and nothing that is asked stands in what is
searched: the inverse cloze task of Lee, Chang and Toutanova 2019, "Latent retrieval for weakly supervised open domain
question answering". Its words are still those of whoever wrote the answer, which flatters models that match words. So
of the sentences those are asked that share the fewest words with what is around them. What is left of that is
measured by benchmarks/made_questions.py.
"""

import re
import unicodedata
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate

import numpy as np
import regex

from evalkit.errors import ConfigError
from evalkit.picking.documents import Folder, SourceFile, with_texts
from evalkit.picking.questions._filters import Candidate, Reasons, filtered, words
from evalkit.picking.questions._question import Origin, Question, QuestionSet, Span
from evalkit.picking.questions._quotes import small_letters
from evalkit.picking.questions.overlap import overlap

VERSION = 3
"""Of the rules below; part of the provenance."""
COUNT = 100
"""Questions made if not said otherwise."""
HEADING = re.compile(r"(?:[\d.]+\s+)?(?P<asked>\S.*?)[\s#¶]*", re.DOTALL)
"""The words of a heading, and what is asked of them: not its number, and not the mark that links to it."""
BOUNDARY, BOUNDARY_OF_SMALL = (
    regex.compile(
        rf"""(?P<end>(?:(?<!\b\p{{L}})[.!?]+(?=[\p{{Pe}}\p{{Pf}}"']*(?:\s|$)){not_before}"""
        r"""|[\p{STerm}--[.!?]])[\p{Pe}\p{Pf}"']*)|\n\s*\n|^\#{1,6}\s.*$""",
        regex.V1 | regex.MULTILINE,
    )
    for not_before in (r"""(?![\p{Pe}\p{Pf}"']*\s+\p{Ll})""", "")
)
"""The end of a sentence, by Unicode's marks of all languages (STerm), or of a paragraph, or of a comment in code.

., ! and ? end one before a blank, but not after a single letter, as in abbreviations, nor, but where all letters are
small, before a small one.
"""
SHORTEST, LONGEST = 6, 60
"""The fewest words of a sentence that is asked, and the most; characters and their pairs count where words have no
blanks between them.
"""
WORDS_ANSWERED = 15
"""The fewest words of what answers a question."""
AROUND = 500
"""Characters before and after a sentence that answer it."""
CODE = 0.05
"""The share of digits, symbols, brackets and slashes above which a text is code, a path or a table, and no prose."""
_SIGNS = frozenset(("Nd", "Nl", "No", "Sm", "Sc", "Sk", "So", "Pc", "Ps", "Pe"))
"""Unicode's categories of digits, symbols, underscores and brackets."""
FAR = 0.2
"""The share of a file's sentences that are asked at most: those that share the fewest words with what is around.

Chosen on Flask's documentation, which is among the sets of benchmarks/made_questions.py: tau was 0.67 there with all
sentences, and 0.79 with this share.
"""


def questions_from_documents(folder: Folder, *, count: int = COUNT, seed: int = 0) -> QuestionSet:
    """At most `count` questions, evenly over the files, each with the place that answers it.

    Two kinds, told by the tag `kind`: "heading", answered by its section, and "sentence", answered by the text around
    it. Each is a piece of the documents, and `taken_out` of what is searched. No rule knows a language.

    `drops` counts what was left out, by reason. Raises ConfigError if nothing is left.
    """
    drops: Counter[str] = Counter()
    candidates = [candidate for file in folder.files for candidate in (*_headings(file), *_sentences(file))]
    kept = _chosen(filtered(candidates, folder, _reasons(folder), drops), count, seed)
    if not kept:
        why = "; ".join(f"{number} {reason}" for reason, number in drops.items()) or "no headings and no sentences"
        raise ConfigError(f"no question can be made from the documents in {folder.path}: {why}. Give --questions.")
    questions = [
        Question(f"q{number}", candidate.text, candidate.spans, {"kind": candidate.kind}, taken_out=True)
        for number, candidate in enumerate(kept, start=1)
    ]
    return QuestionSet(tuple(questions), Origin.FROM_DOCUMENTS, made_from(folder, count, seed), dict(drops))


def made_from(folder: Folder, count: int, seed: int) -> dict[str, object]:
    """Return all that decides which questions are made, as plain data."""
    return {
        "method": "sentences and headings, taken out of what is searched",
        "version": VERSION,
        "seed": seed,
        "asked_for": count,
        "documents": folder.content_hash,
    }


def _headings(file: SourceFile) -> Iterator[Candidate]:
    ends = [*(heading.start for heading in file.headings[1:]), len(file.text)]
    for heading, end in zip(file.headings, ends, strict=False):  # without a heading there is an end too many
        span = _stripped(file, heading.end, end)
        answer = file.text[span.start : span.end]
        if found := HEADING.fullmatch(heading.words):
            yield Candidate("heading", found["asked"], (span,), (answer,), answer)


def _sentences(file: SourceFile) -> Iterator[Candidate]:
    """Yield the sentences that share the fewest words with what is around them."""
    found = []
    for asked in _sentence_spans(file):
        text = " ".join(file.text[asked.start : asked.end].split())
        if len(words(text)) >= SHORTEST and _is_prose(text):
            span = _stripped(file, max(0, asked.start - AROUND), min(len(file.text), asked.end + AROUND))
            rest = f"{file.text[span.start : asked.start]} {file.text[asked.end : span.end]}"
            answer = file.text[span.start : span.end]
            found.append((overlap(text, rest), Candidate("sentence", text, (span,), (answer,), rest)))
    found.sort(key=lambda each: each[0])
    return (candidate for _, candidate in found[: int(np.ceil(FAR * len(found)))])


def _sentence_spans(file: SourceFile) -> Iterator[Span]:
    """Yield the sentences between headings."""
    boundaries = BOUNDARY_OF_SMALL if file.text.islower() else BOUNDARY
    starts = [0, *(heading.end for heading in file.headings)]
    ends = [*(heading.start for heading in file.headings), len(file.text)]
    for start, end in zip(starts, ends, strict=True):
        for boundary in boundaries.finditer(file.text, start, end):
            if boundary["end"]:
                yield _stripped(file, start, boundary.end())
            start = boundary.end()


def _stripped(file: SourceFile, start: int, end: int) -> Span:
    """Return a part of a file without the blanks around it."""
    part = file.text[start:end]
    start += len(part) - len(part.lstrip())
    return Span(file.name, start, start + len(part.strip()))


def _is_prose(text: str) -> bool:
    """Tell whether a text is no code, path or table, by its signs."""
    signs = sum(sign in "/\\@#*&%" or unicodedata.category(sign) in _SIGNS for sign in text)
    return signs <= CODE * len(text)


def _reasons(folder: Folder) -> Reasons:
    everything = " ".join(" ".join(file.text.split()) for file in folder.files).casefold()
    return {
        "too long a question": lambda each: len(words(each.text)) > LONGEST,
        "code, a path or a table": lambda each: not _is_prose(each.text),
        "too short an answer": lambda each: len(words(each.passage)) < WORDS_ANSWERED,
        "in several places": lambda each: each.kind == "sentence" and everything.count(each.text.casefold()) > 1,
    }


def _chosen(candidates: Sequence[Candidate], count: int, seed: int) -> list[Candidate]:
    """`count` of them by turns, over the files and their kinds, in a seeded order; then in the documents' order.

    No two sentences are answered by the same words, so that what answers one is not taken out for another.
    """
    order = np.random.default_rng(seed).permutation(len(candidates))
    turn: Counter[tuple[str, str]] = Counter()
    by_turn: list[tuple[int, int, int]] = []
    taken: defaultdict[tuple[str, str], list[Span]] = defaultdict(list)
    for number in order.tolist():
        (span,) = candidates[number].spans
        group = span.file, candidates[number].kind
        if not any(span.start < other.end and other.start < span.end for other in taken[group]):
            by_turn.append((turn[group], len(by_turn), number))
            turn[group] += 1
            taken[group].append(span)
    return [candidates[number] for number in sorted(number for _, _, number in sorted(by_turn)[:count])]


def searched(folder: Folder, questions: QuestionSet) -> tuple[Folder, QuestionSet]:
    """Return the folder without any place of a question that is `taken_out`, and the questions with their answers
    moved.

    A place is one of the same signs, whatever their case and the blanks between them, in any file. A file with
    nothing else in it is left out.
    """
    taken = [question.text for question in questions.questions if question.taken_out]
    if not taken:
        return folder, questions
    patterns = [re.compile(r"\s+".join(map(re.escape, small_letters(text).split()))) for text in taken]
    cuts = {file.name: _places(patterns, small_letters(file.text)) for file in folder.files}
    texts = {file.name: _without(file.text, cuts[file.name]) for file in folder.files}
    moves = {name: _moves(of_file) for name, of_file in cuts.items()}
    moved = tuple(
        replace(
            question,
            spans=tuple(
                Span(span.file, moves[span.file](span.start), moves[span.file](span.end)) for span in question.spans
            ),
        )
        for question in questions.questions
    )
    return with_texts(folder, texts), replace(questions, questions=moved)


def _places(patterns: Iterable[re.Pattern[str]], text: str) -> list[tuple[int, int]]:
    """Tell where any of the patterns stands, in order; places that overlap are one."""
    places: list[tuple[int, int]] = []
    for start, end in sorted(hit.span() for pattern in patterns for hit in pattern.finditer(text)):
        if places and start < places[-1][1]:
            places[-1] = places[-1][0], max(end, places[-1][1])
        else:
            places.append((start, end))
    return places


def _without(text: str, cuts: Sequence[tuple[int, int]]) -> str:
    starts = [0, *(end for _, end in cuts)]
    ends = [*(start for start, _ in cuts), len(text)]
    return "".join(text[start:end] for start, end in zip(starts, ends, strict=True))


def _moves(cuts: Sequence[tuple[int, int]]) -> Callable[[int], int]:
    """Tell where a character of the text is once the cuts are made; one that is cut out: where the rest goes on."""
    starts = [start for start, _ in cuts]
    gone = [0, *accumulate(end - start for start, end in cuts)]

    def moved(place: int) -> int:
        before = bisect_left(starts, place)
        within = max(0, cuts[before - 1][1] - place) if before else 0
        return place - gone[before] + within

    return moved
