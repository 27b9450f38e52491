"""The documents as they are searched: without the questions that were taken out of them."""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from evalkit.picking.documents import Folder, with_texts
from evalkit.picking.questions._question import QuestionSet, Span
from evalkit.picking.questions._quotes import small_letters


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
