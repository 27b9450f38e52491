"""Writing a task in a layout that others read."""

import json
from collections.abc import Mapping
from pathlib import Path

from evalkit.errors import ConfigError
from evalkit.types import RetrievalTask


def write_qa_dataset(task: RetrievalTask, path: Path) -> int:
    """Write a retrieval task as LlamaIndex's EmbeddingQAFinetuneDataset (what its `from_json` reads).

    The layout has no titles and no grades: a document is the text that models read, and every judgement above 0 is
    relevant, the higher grades first. Returns how many judgements had a grade other than 1, which is lost. Raises
    ConfigError if the file cannot be written.
    """
    judged = {query.id: _relevant(task.qrels[query.id]) for query in task.queries}
    dataset = {
        "queries": {query.id: query.text for query in task.queries},
        "corpus": {document.id: document.content for document in task.corpus},
        "relevant_docs": judged,
        "mode": "text",
    }
    try:
        path.write_text(json.dumps(dataset, indent=4), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}. Choose another file.") from error
    return sum(task.qrels[query][document] != 1 for query, documents in judged.items() for document in documents)


def _relevant(grades: Mapping[str, float]) -> list[str]:
    return sorted(
        (document for document, grade in grades.items() if grade > 0), key=lambda document: -grades[document]
    )
