"""Questions that the user wrote, and where the documents answer them."""

import ast
import io
import posixpath
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from evalkit.errors import ConfigError
from evalkit.picking.documents import Folder
from evalkit.picking.questions._question import FORMULA, Origin, Question, QuestionSet, Span
from evalkit.picking.questions._quotes import Quotes
from evalkit.tasks.checks import Problems
from evalkit.tasks.layouts import is_dataset
from evalkit.tasks.opening import no_file
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import QUESTIONS, Row

QUOTED = ("passage", "quote")
MARKS = {"": False, "no": False, "false": False, "yes": True, "true": True}
"""What a mark may be, such as `unanswerable`: a spreadsheet writes true in the language of whoever uses it."""
STAND_IN = "\N{REPLACEMENT CHARACTER}"
"""What is read in the place of bytes that are not UTF-8."""
_HOP = re.compile(r"\s*<\d+-hop>\s*")
"""What Ragas writes before each passage of a question that needs several."""


def read_questions(path: Path, folder: Folder) -> QuestionSet:
    """Read questions from a table with `question` and one of `passage`, `quote` and `file`: CSV, JSONL or any other.

    A passage or quote is searched in the documents, as `Quotes` does; with a `file` beside it, in that file only; a
    `file` alone is answered by all of it. Several passages, as Ragas has them in `reference_contexts`, all answer the
    question; so do those of several rows with the same `id`, question and tags. `id` is optional (else the line's
    number); further columns are tags. A question that is `unanswerable` has no answer, and is not asked.

    With a question that is `taken_out` (see `_from_documents.searched`), the set is from the documents; with one that
    is `generated`, a language model wrote it.

    Raises ConfigError if there is no such file, DataError with all that is wrong in it: questions without text or
    answer, repeated ids, unknown files, quotes that are not found (with the nearest passage), or in several places.
    """
    problems = Problems(path)
    rows = list(read_answers(path, folder, problems))
    for row in rows:
        for fault in row.faults:
            problems.add(f"{problems.place(path)}: {fault}", row.place, fatal=True)
    if not rows:
        problems.add("no questions in it", fatal=True)
    problems.settle(None)
    return _questions_of(rows, problems.notes)


@dataclass(frozen=True)
class Answered:
    """A row of a table of questions, as it was read: a question and its answer, where it stands, what is wrong."""

    place: str
    question: Question
    generated: bool
    unanswerable: bool
    faults: Sequence[str]


Tell = Callable[[str], None]
"""Notes a fault of the row that is read."""


def _questions_of(rows: Sequence[Answered], notes: tuple[str, ...]) -> QuestionSet:
    """Return the set that rows make: those of one id are one question."""
    questions: dict[str, Question] = {}
    for row in rows:
        first = questions.get(row.question.id)
        spans = (*first.spans, *row.question.spans) if first else row.question.spans
        questions[row.question.id] = replace(row.question, spans=spans)
    if any(question.taken_out for question in questions.values()):
        origin = Origin.FROM_DOCUMENTS
    else:
        origin = Origin.GENERATED if any(row.generated for row in rows) else Origin.GIVEN
    without = {row.question.id for row in rows if row.unanswerable}
    return QuestionSet(
        tuple(question for question in questions.values() if question.id not in without),
        origin,
        notes=notes,
        unanswerable=tuple(question for question in questions.values() if question.id in without),
    )


def read_answers(path: Path, folder: Folder, problems: Problems) -> Iterator[Answered]:
    """Yield the rows of a table of questions, each with its faults; what is wrong with all of it goes to `problems`.

    Raises ConfigError if there is no such file, or it is a data set of another kind.
    """
    if reason := no_file(path):
        raise ConfigError(f"{path}: {reason}. Give a .csv, .tsv or .jsonl file of questions.")
    if is_dataset(path):
        raise ConfigError(
            f"{path}: a LlamaIndex EmbeddingQAFinetuneDataset, which brings its own passages in the place of "
            f"documents. It is a task: `evalkit run --tasks {path}`."
        )
    seen: dict[str, Answered] = {}
    texts = {file.name: file.text for file in folder.files}
    skipped = {each.name: each.reason for each in folder.skipped}
    quotes = Quotes(texts)
    for row in read_rows(path, QUESTIONS, problems):
        faults: list[str] = []
        tell = faults.append
        text = _cell(row, "question")
        if not text:
            several = isinstance(row.get("question"), list | dict)
            tell(
                "a question that is no text but a list (of messages?); write it as text"
                if several
                else "a question with no text"
            )
        unanswerable = _mark(row, "unanswerable", tell)
        spans = _no_spans(row, tell) if unanswerable else _spans(row, texts, quotes, skipped, tell)
        identifier = _cell(row, "id") or str(row.line)
        tags = {column: tag for column, value in row.rest().items() if (tag := _plain(value))}
        question = Question(identifier, text, spans, tags, _mark(row, "taken_out", tell))
        place, generated = f"{row.unit} {row.line}", _mark(row, "generated", tell)
        answered = Answered(place, question, generated, unanswerable, faults)
        before = seen.setdefault(identifier, answered)
        if before is not answered and (unanswerable or not _is_another_answer(answered, before)):
            tell(f"repeated question id {identifier!r}, which {before.place} has")
        yield answered


def _is_another_answer(row: Answered, first: Answered) -> bool:
    """Tell whether a row has another answer to the question of the first row with its id."""
    same = replace(row.question, spans=first.question.spans) == first.question and row.generated == first.generated
    return same and row.question.spans != first.question.spans


def _mark(row: Row, field: str, tell: Tell) -> bool:
    written = _cell(row, field).lower()
    if written not in MARKS:
        tell(f"{field} is {written!r}; write yes or no, or leave it out")
    return MARKS.get(written, False)


def _no_spans(row: Row, tell: Tell) -> tuple[Span, ...]:
    if any(row.get(field) for field in (*QUOTED, "file")):
        tell("is unanswerable, and has an answer; leave one of them out")
    return ()


def _cell(row: Row, field: str) -> str:
    return _plain(row.get(field))


def _plain(value: object) -> str:
    """Return a value as text; "" if there is none, or it is not plain."""
    return _typed(str(value)) if isinstance(value, str | int | float) else ""


def _typed(text: str) -> str:
    """Return a text without the apostrophe that keeps a spreadsheet from taking it for a formula."""
    text = text.strip()
    return text[1:] if text.startswith("'") and FORMULA.match(text, 1) else text


def _passages(row: Row, field: str) -> list[str]:
    """Return the texts of a field: one, or a list's, also a list that was printed into a cell (pandas does so)."""
    value = row.get(field)
    if isinstance(value, list):
        texts = [str(text) for text in value]
    elif isinstance(value, str) and re.fullmatch(r"\s*\[\s*['\"].*['\"]\s*\]\s*", value, re.DOTALL):
        texts = _printed_strings(value) or [value]
    else:
        texts = [_plain(value)]
    return [text.strip() for text in (_HOP.sub("", text, 1) for text in texts) if text.strip()]


def _printed_strings(printed: str) -> list[str]:
    """Return the strings of a list as Python or numpy prints it; empty if it is no such list."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(printed).readline))
        return [ast.literal_eval(token.string) for token in tokens if token.type == tokenize.STRING]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return []


def _spans(
    row: Row, texts: Mapping[str, str], quotes: Quotes, skipped: Mapping[str, str], tell: Tell
) -> tuple[Span, ...]:
    written = _cell(row, "file")
    file = posixpath.normpath(written.replace("\\", "/")) if written and written not in texts else written
    quoted = {field: passages for field in QUOTED if (passages := _passages(row, field))}
    if len(quoted) > 1:
        tell("has a passage and a quote; leave one of them out")
        return ()
    if not (quoted or file):
        tell("needs one of passage, quote and file")
        return ()
    if file and file not in texts:
        tell(f"the file {written!r} {_why_absent(file, texts, skipped)}")
        return ()
    if not quoted:
        return (Span(file, 0, len(texts[file])),)
    (passages,) = quoted.values()
    return tuple(span for passage in passages for span in _places(passage, quotes, file, tell))


def _why_absent(file: str, texts: Mapping[str, str], skipped: Mapping[str, str]) -> str:
    """Say why a file has no text: skipped, or not there, with the file that is nearest by name."""
    if file in skipped:
        return f"was skipped: {skipped[file]}"
    by_name = {part.casefold(): name for name in texts for part in (name, posixpath.basename(name))}
    written = (file.casefold(), posixpath.basename(file).casefold())
    near = next((match for part in written for match in get_close_matches(part, by_name, 1)), None)
    return "is not in the folder" + (f". Is {by_name[near]!r} meant?" if near else "")


def _places(passage: str, quotes: Quotes, file: str, tell: Tell) -> tuple[Span, ...]:
    """Tell where a passage is in the documents; notes if that is nowhere, or in several places."""
    found = quotes.find(passage, file)
    if not found and STAND_IN in passage:
        tell(f"the passage or quote has characters that cannot be read ({STAND_IN}), so that it is not searched")
    elif not found:
        elsewhere = sorted({span.file for span in quotes.find(passage)}) if file else []
        if elsewhere:
            there = f"it is in {' and '.join(map(repr, elsewhere[:2]))}"
        else:
            there = quotes.nearest(passage, file) or quotes.nearest(passage)
        of = f"in {file!r}" if file else "in the documents"
        tell(f"the passage or quote is not {of}" + (there and f"; {there}"))
    elif len(found) > 1:
        tell("the passage or quote is in several places; quote more, or name its file")
    return found
