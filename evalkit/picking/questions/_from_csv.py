"""Questions that the user wrote, and where the documents answer them."""

import ast
import io
import posixpath
import re
import tokenize
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from evalkit.errors import ConfigError
from evalkit.picking.documents import Folder
from evalkit.picking.questions._question import Origin, Question, QuestionSet, Span
from evalkit.picking.questions._quotes import Quotes
from evalkit.tasks.checks import Problems
from evalkit.tasks.layouts import is_dataset
from evalkit.tasks.opening import no_file
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import QUESTIONS, Row

QUOTED = ("passage", "quote")
_HOP = re.compile(r"\s*<\d+-hop>\s*")
"""What Ragas writes before each passage of a question that needs several."""


def read_questions(path: Path, folder: Folder) -> QuestionSet:
    """Read questions from a table with `question` and one of `passage`, `quote` and `file`: CSV, JSONL or any other.

    A passage or quote is searched in the documents, as `Quotes` does; with a `file` beside it, in that file only; a
    `file` alone is answered by all of it. Several passages, as Ragas has them in `reference_contexts`, all answer the
    question. `id` is optional (else the line's number); further columns are tags. With a question that is `taken_out`
    (see `taken_out.searched`), the set is from the documents.

    Raises ConfigError if there is no such file, DataError with all that is wrong in it: questions without text or
    answer, repeated ids, unknown files, quotes that are not found (with the nearest passage), or in several places.
    """
    if reason := no_file(path):
        raise ConfigError(f"{path}: {reason}. Give a .csv, .tsv or .jsonl file of questions.")
    if is_dataset(path):
        raise ConfigError(
            f"{path}: a LlamaIndex EmbeddingQAFinetuneDataset, which brings its own passages in the place of "
            f"documents. It is a task: `evalkit run --tasks {path}`."
        )
    problems = Problems(path)
    questions: dict[str, Question] = {}
    texts = {file.name: file.text for file in folder.files}
    skipped = {each.name: each.reason for each in folder.skipped}
    quotes = Quotes(texts)
    for row in read_rows(path, QUESTIONS, problems):
        text = _cell(row, "question")
        if not text:
            several = isinstance(row.get("question"), list | dict)
            row.report(
                "a question that is no text but a list (of messages?); write it as text"
                if several
                else "a question with no text",
                fatal=True,
            )
        spans = _spans(row, texts, quotes, skipped)
        identifier = _cell(row, "id") or str(row.line)
        if identifier in questions:
            problems.add("repeated question id", repr(identifier), fatal=True)
        tags = {column: tag for column, value in row.rest().items() if (tag := _plain(value))}
        questions[identifier] = Question(identifier, text, spans, tags, _taken_out(row))
    if not questions:
        problems.add("no questions in it", fatal=True)
    problems.settle(None)
    made = any(question.taken_out for question in questions.values())
    origin = Origin.FROM_DOCUMENTS if made else Origin.GIVEN
    return QuestionSet(tuple(questions.values()), origin, notes=problems.notes)


def _taken_out(row: Row) -> bool:
    written = _cell(row, "taken_out").lower()
    if written not in ("", "true", "false"):
        row.report(f"taken_out is {written!r}; write true or false, or leave it out", fatal=True)
    return written == "true"


def _cell(row: Row, field: str) -> str:
    return _plain(row.get(field))


def _plain(value: object) -> str:
    """Return a value as text; "" if there is none, or it is not plain."""
    return str(value).strip() if isinstance(value, str | int | float) else ""


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


def _spans(row: Row, texts: Mapping[str, str], quotes: Quotes, skipped: Mapping[str, str]) -> tuple[Span, ...]:
    written = _cell(row, "file")
    file = posixpath.normpath(written.replace("\\", "/")) if written and written not in texts else written
    quoted = {field: passages for field in QUOTED if (passages := _passages(row, field))}
    if len(quoted) > 1:
        row.report("has a passage and a quote; leave one of them out", fatal=True)
        return ()
    if not (quoted or file):
        row.report("needs one of passage, quote and file", fatal=True)
        return ()
    if file and file not in texts:
        row.report(f"the file {written!r} {_why_absent(file, texts, skipped)}", fatal=True)
        return ()
    if not quoted:
        return (Span(file, 0, len(texts[file])),)
    (passages,) = quoted.values()
    return tuple(span for passage in passages for span in _places(row, passage, quotes, file))


def _why_absent(file: str, texts: Mapping[str, str], skipped: Mapping[str, str]) -> str:
    """Say why a file has no text: skipped, or not there, with the file that is nearest by name."""
    if file in skipped:
        return f"was skipped: {skipped[file]}"
    by_name = {part.casefold(): name for name in texts for part in (name, posixpath.basename(name))}
    written = (file.casefold(), posixpath.basename(file).casefold())
    near = next((match for part in written for match in get_close_matches(part, by_name, 1)), None)
    return "is not in the folder" + (f". Is {by_name[near]!r} meant?" if near else "")


def _places(row: Row, passage: str, quotes: Quotes, file: str) -> tuple[Span, ...]:
    """Tell where a passage is in the documents; notes if that is nowhere, or in several places."""
    found = quotes.find(passage, file)
    if not found:
        elsewhere = sorted({span.file for span in quotes.find(passage)}) if file else []
        if elsewhere:
            there = f"it is in {' and '.join(map(repr, elsewhere[:2]))}"
        else:
            there = quotes.nearest(passage, file) or quotes.nearest(passage)
        of = f"in {file!r}" if file else "in the documents"
        row.report(f"the passage or quote is not {of}" + (there and f"; {there}"), fatal=True)
    elif len(found) > 1:
        row.report("the passage or quote is in several places; quote more, or name its file", fatal=True)
    return found
