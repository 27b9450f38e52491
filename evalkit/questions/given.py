"""Questions that the user wrote, and where the documents answer them."""

import re
from collections.abc import Mapping
from pathlib import Path

from evalkit.documents import Folder
from evalkit.errors import ConfigError
from evalkit.questions.question import Question, QuestionSet, Span
from evalkit.suite.checks import Problems
from evalkit.suite.reading import Row, read_rows

QUOTED = ("passage", "quote")


def read_questions(path: Path, folder: Folder) -> QuestionSet:
    """Read questions from a .csv, .tsv or .jsonl file with `question` and one of `passage`, `quote` and `file`.

    A passage or quote is searched in the documents, whatever blanks are between its words; with a `file` beside it,
    in that file only; a `file` alone is answered by all of it. `id` is optional (else the line's number); further
    columns are tags. Raises ConfigError if there is no such file, DataError with all that is wrong in it: questions
    without text or answer, repeated ids, unknown files, quotes that are not found, or in several places.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file. Give a .csv, .tsv or .jsonl file of questions.")
    problems = Problems(path)
    questions: dict[str, Question] = {}
    texts = {file.name: file.text for file in folder.files}
    skipped = {each.name: each.reason for each in folder.skipped}
    for row in read_rows(path, problems):
        text = _cell(row, "question")
        if not text:
            row.report("a question with no text", fatal=True)
        spans = _spans(row, texts, skipped)
        identifier = _cell(row, "id") or str(row.line)
        if identifier in questions:
            problems.add("repeated question id", repr(identifier), fatal=True)
        known = {"id", "question", "file", *QUOTED}
        tags = {key: _cell(row, key) for key in row.values if key not in known and _cell(row, key)}
        questions[identifier] = Question(identifier, text, spans, tags)
    if not questions:
        problems.add("no questions in it", fatal=True)
    problems.settle("error")
    return QuestionSet(tuple(questions.values()), "given")


def _cell(row: Row, key: str) -> str:
    """A value as text; "" if there is none, or it is not plain."""
    value = row.values.get(key)
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _spans(row: Row, texts: Mapping[str, str], skipped: Mapping[str, str]) -> tuple[Span, ...]:
    file = _cell(row, "file")
    quotes = [_cell(row, key) for key in QUOTED if _cell(row, key)]
    if len(quotes) > 1 or not (quotes or file):
        row.report("needs one of passage, quote and file", fatal=True)
        return ()
    if file and file not in texts:
        why = f"was skipped: {skipped[file]}" if file in skipped else "is not in the folder"
        row.report(f"the file {file!r} {why}", fatal=True)
        return ()
    if not quotes:
        return (Span(file, 0, len(texts[file])),)
    pattern = re.compile(r"\s+".join(map(re.escape, quotes[0].split())))
    names = [file] if file else list(texts)
    found = tuple(Span(name, hit.start(), hit.end()) for name in names for hit in pattern.finditer(texts[name]))
    if not found:
        row.report("the passage or quote is not in the documents", fatal=True)
    elif len(found) > 1:
        row.report("the passage or quote is in several places; quote more, or name its file", fatal=True)
    return found
