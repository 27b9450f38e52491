"""Questions as a file that people review and edit, and that `read_questions` reads."""

import json
from pathlib import Path

from evalkit.picking.documents import Folder
from evalkit.picking.questions.question import QuestionSet


def write_questions(questions: QuestionSet, folder: Folder, path: Path) -> None:
    """Write a JSON object a line for each question: id, question, file, quote and the tags.

    Reading it again gives the same questions, as the user's own. Only the first span of a question is written: each
    of them answers it.
    """
    texts = {file.name: file.text for file in folder.files}
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for question in questions.questions:
        span = question.spans[0]
        answer = {"file": span.file}
        if (span.start, span.end) != (0, len(texts[span.file])):
            answer["quote"] = texts[span.file][span.start : span.end]
        taken_out = {"taken_out": True} if question.taken_out else {}
        row = {"id": question.id, "question": question.text, **answer, **taken_out, **question.tags}
        lines.append(json.dumps(row, ensure_ascii=False))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
