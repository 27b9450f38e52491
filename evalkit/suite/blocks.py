"""A corpus that stays on disk and is read in blocks: parquet or JSONL, one file or a folder of them."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evalkit.suite.checks import Problems
from evalkit.suite.reading import open_parquet
from evalkit.types import Document, IntArray

IN_MEMORY_BYTES = 1 << 28
"""Up to this size a JSONL corpus is read into memory as a whole, and larger ones are read in blocks."""
BLOCK_DOCUMENTS = 4_096
"""Read at once where single documents are asked for."""


def corpus_files(path: Path) -> list[Path]:
    """The files of a corpus at a path; several where it is a folder, as on the hub, in the order of their names."""
    return sorted([*path.glob("*.parquet"), *path.glob("*.jsonl")]) if path.is_dir() else [path]


def stays_on_disk(path: Path) -> bool:
    """Whether the corpus at this path is read in blocks."""
    if path.is_dir() or path.suffix == ".parquet":
        return True
    return path.suffix == ".jsonl" and path.is_file() and path.stat().st_size > IN_MEMORY_BYTES


class _Part(Protocol):
    """One file of a corpus."""

    rows: int

    def read(self, start: int, stop: int) -> list[Document]:
        """The documents from one row on, up to another."""
        ...


@dataclass(frozen=True)
class Strings(Sequence[str]):
    """Strings held as one Arrow array, in a fifth of the memory that a list of them takes."""

    array: pa.Array

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found: Any = self.array[index]
        strings: str | list[str] = found.to_pylist() if isinstance(index, slice) else found.as_py()
        return strings

    def __len__(self) -> int:
        return len(self.array)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK_DOCUMENTS):
            yield from self[start : start + BLOCK_DOCUMENTS]


class BlockCorpus(Sequence[Document]):
    """Documents on disk. A slice is read at once; one document with those beside it, which are kept."""

    def __init__(self, parts: Sequence[_Part], ids: Strings) -> None:
        self.ids = ids
        self._parts = parts
        self._ends = np.cumsum([part.rows for part in parts])
        self._block: Callable[[int], list[Document]] = lru_cache(maxsize=1)(self._read_block)

    @property
    def contents(self) -> "Contents":
        """What models read of each document."""
        return Contents(self)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self._read(start, stop)[::step]
        row = range(len(self))[index]
        return self._block(row // BLOCK_DOCUMENTS)[row % BLOCK_DOCUMENTS]

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Document]:
        for start in range(0, len(self), BLOCK_DOCUMENTS):
            yield from self._read(start, start + BLOCK_DOCUMENTS)

    def _read_block(self, number: int) -> list[Document]:
        return self._read(number * BLOCK_DOCUMENTS, (number + 1) * BLOCK_DOCUMENTS)

    def _read(self, start: int, stop: int) -> list[Document]:
        documents: list[Document] = []
        for part, end in zip(self._parts, self._ends.tolist(), strict=True):
            first = end - part.rows
            if max(start, first) < min(stop, end):
                documents += part.read(max(start - first, 0), min(stop - first, part.rows))
        return documents


@dataclass(frozen=True)
class Contents(Sequence[str]):
    """The contents of a corpus on disk, read when they are asked for."""

    corpus: BlockCorpus

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        found = self.corpus[index]
        return found.content if isinstance(found, Document) else [document.content for document in found]

    def __len__(self) -> int:
        return len(self.corpus)

    def __iter__(self) -> Iterator[str]:
        return (document.content for document in self.corpus)


class _Parquet:
    """Read from where the last read ended, since a group of rows can hold a million of them."""

    def __init__(self, path: Path) -> None:
        self._file = open_parquet(path)
        metadata = self._file.metadata
        self.rows = metadata.num_rows
        self._ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        self._columns = [name for name in ("_id", "title", "text") if name in self._file.schema_arrow.names]
        self._batch: pa.RecordBatch
        self._open(0)

    def read(self, start: int, stop: int) -> list[Document]:
        if start < self._first or self._group(start) > self._group(self._first + len(self._batch)):
            self._open(self._group(start))
        documents: list[Document] = []
        while True:
            wanted = self._batch[max(0, start - self._first) : max(0, stop - self._first)]
            documents += [_document(row) for row in wanted.to_pylist()]
            if self._first + len(self._batch) >= stop:
                return documents
            self._first += len(self._batch)
            self._batch = next(self._coming)

    def _group(self, row: int) -> int:
        """The group of rows that a row is in."""
        return int(np.searchsorted(self._ends, row, side="right"))

    def _open(self, group: int) -> None:
        groups = list(range(group, len(self._ends)))
        self._coming: Iterator[pa.RecordBatch] = self._file.iter_batches(BLOCK_DOCUMENTS, groups, self._columns)
        self._first, self._batch = int(self._ends[group - 1]) if group else 0, pa.RecordBatch.from_pylist([])


class _Lines:
    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            lengths = np.fromiter((len(line) if line.strip() else -len(line) for line in file), np.int64)
        ends = np.cumsum(np.abs(lengths))
        self._starts: IntArray = (ends - np.abs(lengths))[lengths > 0]
        self._ends: IntArray = ends[lengths > 0]
        self.rows = len(self._starts)

    def read(self, start: int, stop: int) -> list[Document]:
        with self._path.open("rb") as file:
            file.seek(int(self._starts[start]))
            lines = file.read(int(self._ends[stop - 1] - self._starts[start])).decode("utf-8-sig").split("\n")
        return [_document(json.loads(line)) for line in lines if line.strip()]


def _document(row: dict[str, Any]) -> Document:
    return Document(str(row["_id"]), row["text"], row.get("title") or "")


def read_in_blocks(path: Path, documents: Iterable[Document], problems: Problems) -> BlockCorpus:
    """The corpus at a path. `documents` are its rows as they are checked; notes repeated ids and empty texts.

    A repeated id is fatal: what stays on disk cannot leave a document out.
    """
    # As they come: many small Arrow arrays, or a set of the ids, would take ten times the memory.
    ends, content, hashes = array("q", [0]), bytearray(), array("q")
    for document in documents:
        hashes.append(hash(document.id))
        content += document.id.encode()
        ends.append(len(content))
        if not document.content.strip():
            problems.add(f"{path.name}: document with no text", repr(document.id))
    ids = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(content)])
    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64))
    if (ordered[1:] == ordered[:-1]).any():
        for identifier, times in Counter(ids.to_pylist()).items():
            if times > 1:
                problems.add(f"{path.name}: repeated document id", repr(identifier), fatal=True)
    unreadable = problems.fatal
    parts = (
        []
        if unreadable
        else [(_Parquet if file.suffix == ".parquet" else _Lines)(file) for file in corpus_files(path)]
    )
    return BlockCorpus(parts, Strings(ids))


def known_ids(corpus: BlockCorpus, asked: Iterable[str]) -> set[str]:
    """Those of the ids that the corpus has."""
    wanted = pa.array(list(asked), pa.large_string())
    return set(corpus.ids.array.filter(pc.is_in(corpus.ids.array, value_set=wanted)).to_pylist())
