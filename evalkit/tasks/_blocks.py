"""A corpus that stays on disk and is read in blocks: parquet and JSONL as they are, other files by way of parquet."""

import json
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Protocol, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evalkit.errors import DataError
from evalkit.tasks._filenames import format_of
from evalkit.tasks.checks import Problems
from evalkit.tasks.opening import compression_of, is_plain_utf8, no_file
from evalkit.tasks.reading import form_of, open_parquet
from evalkit.tasks.rows import CORPUS, Columns, Row
from evalkit.types import Document, IntArray

IN_MEMORY_BYTES = 1 << 28
"""Up to this size a corpus of text files is read into memory as a whole, and larger ones are read in blocks."""
COMPRESSION = 4
"""What text is compressed by, about."""
BLOCK_DOCUMENTS = 4_096
"""Read at once where single documents are asked for."""


def stays_on_disk(files: Sequence[Path]) -> bool:
    """Tell whether the corpus in these files is read in blocks: where any is parquet, they are many, or they are
    large.
    """
    if len(files) > 1 or any(format_of(file) == "parquet" for file in files):
        return True
    sizes = (file.stat().st_size * (COMPRESSION if compression_of(file) else 1) for file in files if file.is_file())
    return sum(sizes) > IN_MEMORY_BYTES


class _Part(Protocol):
    """One file of a corpus."""

    rows: int

    def read(self, start: int, stop: int) -> list[Document]:
        """Return the documents from one row on, up to another."""
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

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file
        metadata = self._file.metadata
        self.rows = metadata.num_rows
        self._ends = np.cumsum([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)])
        self._fields = CORPUS.match(self._file.schema_arrow.names)
        self._columns = [column for columns in self._fields.values() for column in columns]
        self._batch: pa.RecordBatch
        self._open(0)

    def read(self, start: int, stop: int) -> list[Document]:
        if start < self._first or self._group(start) > self._group(self._first + len(self._batch)):
            self._open(self._group(start))
        documents: list[Document] = []
        while True:
            wanted = self._batch[max(0, start - self._first) : max(0, stop - self._first)]
            documents += [_checked(row, self._fields) for row in wanted.to_pylist()]
            if self._first + len(self._batch) >= stop:
                return documents
            self._first += len(self._batch)
            self._batch = next(self._coming)

    def _group(self, row: int) -> int:
        """Return the group of rows that a row is in."""
        return int(np.searchsorted(self._ends, row, side="right"))

    def _open(self, group: int) -> None:
        groups = list(range(group, len(self._ends)))
        self._coming: Iterator[pa.RecordBatch] = self._file.iter_batches(BLOCK_DOCUMENTS, groups, self._columns)
        self._first, self._batch = int(self._ends[group - 1]) if group else 0, pa.RecordBatch.from_pylist([])


class _Lines:
    """A JSON object a line, in UTF-8."""

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
        rows = [json.loads(line) for line in lines if line.strip()]
        return [_checked(row, CORPUS.match(list(row))) for row in rows]


def read_document(row: Row) -> Document | None:
    """Return the document of a row; None after noting that it has no id."""
    identifier, text = row.identifier("_id"), row.text("text")
    title = row.text("title") if row.get("title") is not None else None
    return None if identifier is None else Document(identifier, text or "", title or "")


def _checked(values: dict[str, Any], columns: Columns) -> Document:
    """Return the document of a row that was read before, and had no fault."""
    document = read_document(Row(values, columns, "", 0, Problems("")))
    if document is None:
        raise DataError("corpus", ["a document lost its id while the run went on"], "Do not change files of a run.")
    return document


def read_in_blocks(files: Sequence[Path], documents: Iterable[Document], problems: Problems) -> BlockCorpus:
    """Return the corpus in these files. `documents` are their rows as they are checked; notes repeated ids and empty
    texts.

    What is neither parquet nor JSONL is copied to a parquet file that vanishes with the corpus. A repeated id is
    fatal: what stays on disk cannot leave a document out.
    """
    where = problems.place(files[0] if len(files) == 1 else files[0].parent)
    in_place = all(format_of(file) == "parquet" or _is_plain_jsonl(file) for file in files)
    copy = None if in_place else _Copy()
    # As they come: many small Arrow arrays, or a set of the ids, would take ten times the memory.
    ends, content, hashes = array("q", [0]), bytearray(), array("q")
    for document in documents:
        hashes.append(hash(document.id))
        content += document.id.encode()
        ends.append(len(content))
        if not document.content.strip():
            problems.add(f"{where}: document with no text", repr(document.id))
        if copy is not None:
            copy.add(document)
    ids = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, [None, pa.py_buffer(ends), pa.py_buffer(content)])
    ordered = np.sort(np.frombuffer(hashes, dtype=np.int64))
    if (ordered[1:] == ordered[:-1]).any():
        for identifier, times in Counter(ids.to_pylist()).items():
            if times > 1:
                problems.add(f"{where}: repeated document id", repr(identifier), fatal=True)
    parts = [] if problems.fatal else [copy.parquet()] if copy is not None else [_part(file) for file in files]
    if not problems.fatal and sum(part.rows for part in parts) != len(ids):
        problems.add(f"{where}: its lines do not end in line feeds; save it with them", fatal=True)
    return BlockCorpus(parts, Strings(ids))


def _is_plain_jsonl(file: Path) -> bool:
    return not no_file(file) and form_of(file, CORPUS) == "jsonl" and is_plain_utf8(file)


def _part(file: Path) -> _Part:
    return _Parquet(open_parquet(file)) if format_of(file) == "parquet" else _Lines(file)


class _Copy:
    """Documents that are written to a parquet file of their own, to be read in blocks."""

    def __init__(self) -> None:
        self._file = TemporaryFile("w+b")  # noqa: SIM115 (it is closed with the corpus)
        self._schema = pa.schema([(name, pa.string()) for name in ("_id", "title", "text")])
        self._writer = pq.ParquetWriter(self._file, self._schema)
        self._waiting: list[dict[str, str]] = []

    def add(self, document: Document) -> None:
        self._waiting.append({"_id": document.id, "title": document.title, "text": document.text})
        if len(self._waiting) == BLOCK_DOCUMENTS:
            self._write()

    def parquet(self) -> _Parquet:
        self._write()
        self._writer.close()
        self._file.seek(0)
        return _Parquet(pq.ParquetFile(self._file, pre_buffer=False))

    def _write(self) -> None:
        self._writer.write_table(pa.Table.from_pylist(self._waiting, self._schema))
        self._waiting.clear()


def rows_of_ids(corpus: BlockCorpus, asked: Iterable[str]) -> list[int]:
    """Return the rows of those of the ids that the corpus has, in order."""
    wanted = pa.array(list(asked), pa.large_string())
    return [int(row) for row in pc.indices_nonzero(pc.is_in(corpus.ids.array, value_set=wanted)).to_pylist()]


def known_ids(corpus: BlockCorpus, asked: Iterable[str]) -> set[str]:
    """Return those of the ids that the corpus has."""
    wanted = pa.array(list(asked), pa.large_string())
    return set(corpus.ids.array.filter(pc.is_in(corpus.ids.array, value_set=wanted)).to_pylist())
