"""What is wrong with each question of a table, and what is doubtful: questions that a pick takes, and should not."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.picking.documents import Folder
from evalkit.picking.questions._filters import WORDS_ASKED, copies, is_near, is_short, names_the_context, words
from evalkit.picking.questions._from_csv import Answered, read_answers
from evalkit.picking.questions._question import Question
from evalkit.tasks.checks import Problems

AROUND = 500
"""Characters before and after an answer that a question may have been copied from."""


@dataclass(frozen=True)
class Checked:
    """A row of a table of questions: where it stands, what it asks, why a pick refuses it, and what is doubtful."""

    place: str
    question: str
    wrong: Sequence[str]
    doubtful: Sequence[str]


def check_questions(path: Path, folder: Folder) -> list[Checked]:
    """Return every row of a table of questions, in order, with all that is wrong with it and all that is doubtful.

    Wrong is what `read_questions` refuses. Raises ConfigError if there is no such file, and DataError if it cannot
    be read as a table of questions.
    """
    problems = Problems(path)
    rows = list(read_answers(path, folder, problems))
    if not rows:
        problems.add("no questions in it", fatal=True)
    problems.settle(None)
    texts = {file.name: file.text for file in folder.files}
    before: dict[str, Answered] = {}
    checked = []
    for row in rows:
        doubts: list[str] = []
        # Another row of a question gives another answer to it.
        if row.question.text and row.question.id not in before:
            doubts = [*_doubts(row.question, texts), *_asked_before(row.question, before.values())]
            before[row.question.id] = row
        checked.append(Checked(row.place, row.question.text, row.faults, doubts))
    return checked


def _doubts(question: Question, texts: Mapping[str, str]) -> Iterator[str]:
    if is_short(question.text):
        yield f"has fewer than {WORDS_ASKED} words: say what is asked"
    if names_the_context(question.text):
        yield "speaks of a text that whoever asks has not seen: name what it is about"
    around = (texts[span.file][max(0, span.start - AROUND) : span.end + AROUND] for span in question.spans)
    # What is taken out of the documents is a piece of them.
    if not question.taken_out and any(copies(question.text, text) for text in around):
        yield "is copied from the passage that answers it: ask in other words"


def _asked_before(question: Question, before: Iterable[Answered]) -> Iterator[str]:
    """Yield where the same was asked already, or nearly the same: the first such place."""
    asked = words(question.text)
    for row in before:
        other = words(row.question.text)
        if asked == other:
            yield f"asks the same as {row.place}"
            return
        if is_near(set(asked), set(other)):
            yield f"asks nearly the same as {row.place}"
            return
