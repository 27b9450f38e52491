"""Content hashes: equal exactly when what is scored is equal, whatever file it came from."""

import hashlib
import json
import pickle
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import ExitStack, suppress
from heapq import merge
from itertools import chain, islice
from tempfile import TemporaryFile
from typing import IO

from evalkit.types import Document, FloatArray, Qrels, Query

RUN = 1 << 16
"""Records sorted in memory at once."""
FILES = 256
"""Files of sorted records that are open at once; more are merged into one."""


def hash_sts(sentences1: Sequence[str], sentences2: Sequence[str], gold: FloatArray) -> str:
    """Return SHA-256 (hex) over sentence pairs and their gold scores, in order."""
    return _digest(("pair", *pair) for pair in zip(sentences1, sentences2, gold.tolist(), strict=True))


def hash_retrieval(
    corpus: Iterable[Document], queries: Iterable[Query], qrels: Qrels, ignore_identical_ids: bool | Set[str] = False
) -> str:
    """Return SHA-256 (hex) over ids, contents and grades; sorted, since their order changes no score. No tags.

    `ignore_identical_ids`: no query is a result of itself, or none of those with these ids is.
    """
    documents = _sorted_on_disk(("document", document.id, document.content) for document in corpus)
    questions = sorted(("query", query.id, query.text) for query in queries)
    grades = sorted(
        ("grade", query, document, float(grade))
        for query, judged in qrels.items()
        for document, grade in judged.items()
    )
    ignored = [] if isinstance(ignore_identical_ids, bool) else sorted(ignore_identical_ids)
    rule = [("ignore identical ids", *ignored)] if ignore_identical_ids else []
    return _digest(chain(documents, questions, grades, rule))


def _sorted_on_disk(records: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """Yield records in order: sorted in runs that fit in memory, which are kept in a file each and merged."""
    coming = iter(records)
    with ExitStack() as files:

        def kept(run: Iterable[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
            file = files.enter_context(TemporaryFile("w+b"))
            for record in run:
                pickle.dump(record, file)
            file.seek(0)
            return _unpickled(file)

        runs: list[Iterator[tuple[str, ...]]] = []
        while run := sorted(islice(coming, RUN)):
            if len(run) < RUN:  # the last, which need not be kept
                runs.append(iter(run))
                break
            runs.append(kept(run))
            if len(runs) == FILES:
                runs = [kept(merge(*runs))]
        yield from merge(*runs)


def _unpickled(file: IO[bytes]) -> Iterator[tuple[str, ...]]:
    with file, suppress(EOFError):
        while True:
            yield pickle.load(file)


def hash_rows(settings: Mapping[str, object], rows: Iterable[Mapping[str, object]]) -> str:
    """Return SHA-256 (hex) over rows of plain data, in order, and what else changes how they are scored."""
    return _digest(("row", json.dumps(row, sort_keys=True, default=str)) for row in chain([settings], rows))


def _digest(records: Iterable[tuple[str | float, ...]]) -> str:
    # A JSON array a line cannot be read in two ways: JSON escapes quotes and line ends inside texts.
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(record).encode("ascii") + b"\n")
    return digest.hexdigest()
