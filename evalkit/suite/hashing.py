"""Content hashes: equal exactly when what is scored is equal, whatever file it came from."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from evalkit.types import Document, FloatArray, Qrels, Query


def hash_sts(sentences1: Sequence[str], sentences2: Sequence[str], gold: FloatArray) -> str:
    """SHA-256 (hex) over sentence pairs and their gold scores, in order."""
    return _digest(("pair", *pair) for pair in zip(sentences1, sentences2, gold.tolist(), strict=True))


def hash_retrieval(
    corpus: Iterable[Document], queries: Iterable[Query], qrels: Qrels, ignore_identical_ids: bool = False
) -> str:
    """SHA-256 (hex) over ids, contents and grades; sorted, since their order changes no score. No tags."""
    documents = sorted(("document", document.id, document.content) for document in corpus)
    questions = sorted(("query", query.id, query.text) for query in queries)
    grades = sorted(
        ("grade", query, document, float(grade))
        for query, judged in qrels.items()
        for document, grade in judged.items()
    )
    rule = [("ignore identical ids",)] if ignore_identical_ids else []
    return _digest(chain(documents, questions, grades, rule))


def hash_rows(settings: Mapping[str, object], rows: Iterable[Mapping[str, object]]) -> str:
    """SHA-256 (hex) over rows of plain data, in order, and what else changes how they are scored."""
    return _digest(("row", json.dumps(row, sort_keys=True, default=str)) for row in chain([settings], rows))


def _digest(records: Iterable[tuple[str | float, ...]]) -> str:
    # A JSON array a line cannot be read in two ways: JSON escapes quotes and line ends inside texts.
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record).encode("ascii") + b"\n")
    return digest.hexdigest()
