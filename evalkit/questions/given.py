"""Questions that the user wrote, and where the documents answer them."""

import re
from collections.abc import Iterator
from pathlib import Path

from evalkit.documents import Folder
from evalkit.questions.question import Question, QuestionSet, Span
from evalkit.suite.checks import Problems
from evalkit.suite.reading import Row, read_rows

ANSWERS = ("passage", "quote", "file")


def read_questions(path: Path, folder: Folder) -> QuestionSet:
    """Read questions from a .csv, .tsv or .jsonl file with `question` and `passage`, `quote` or `file`."""
    problems = Problems(path)
    questions: dict[str, Question] = {}
    texts = {file.name: file.text for file in folder.files}
    for row in read_rows(path, problems):
        question = _question(row, texts)
        if question is not None:
            questions[question.id] = question
    problems.settle("error")
    return QuestionSet(tuple(questions.values()), "given")


def _question(row: Row, texts: dict[str, str]) -> Question | None:
    text = row.text("question")
    spans = tuple(_spans(row, texts))
    if text is None or not spans:
        return None
    identifier = str(row.values.get("id") or row.line)
    tags = {k: str(v) for k, v in row.values.items() if k not in ("id", "question", *ANSWERS)}
    return Question(identifier, text, spans, tags)


def _spans(row: Row, texts: dict[str, str]) -> Iterator[Span]:
    file = row.values.get("file")
    quote = row.values.get("quote") or row.values.get("passage")
    if isinstance(quote, str) and quote:
        pattern = re.compile(r"\s+".join(map(re.escape, quote.split())))
        names = [str(file)] if file else list(texts)
        found = [
            Span(name, hit.start(), hit.end()) for name in names for hit in pattern.finditer(texts.get(name, ""))
        ]
        if not found:
            row.report("the answer is not in the documents", fatal=True)
        yield from found
    elif file in texts:
        yield Span(str(file), 0, len(texts[str(file)]))
    else:
        row.report("no such file", fatal=True)
