"""One Lance table of values by key. Rows carry a checksum, and an altered row is never served."""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import lance
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from evalkit.errors import StoreError
from evalkit.store.folder import Folder, first_line
from evalkit.types import IntArray

KEY_BYTES = 16
KEYS_AT_ONCE = 1 << 20
"""Keys looked up, and read of the table, at once: what bounds memory."""
FRAGMENTS_BEFORE_COMPACTION = 32
OLD_VERSIONS_KEPT = timedelta(days=1)
"""Other processes may still read the version they opened."""

FOOTER = struct.Struct("<QQQIIHH4s")
"""The end of a Lance file: where the columns' metadata, its offsets and those of global buffers start; how many
buffers and columns there are; the format's version, and its mark.
"""
OFFSET_BYTES = 16
DATA = "data"
"""Where Lance keeps the files with rows, in a table's folder."""


class Table:
    """Values, each an array of one width and dtype, by 16-byte key. It is made when the first rows come.

    Appends are atomic commits; two processes may append at once. `facts` says what the values are, and is
    kept in the table. Raises StoreError when the table cannot be read or written.
    """

    def __init__(self, folder: Folder, facts: Mapping[str, object]) -> None:
        self.folder = folder
        self._facts = facts
        self._dataset: lance.LanceDataset | None = None
        self.refresh()

    def refresh(self) -> None:
        """See what other tables' appends, in this process or another, have added."""
        with damage_named(self.folder):
            dataset = opened(self.folder)
            if dataset is not None:
                check_layout(dataset, self.folder)
            self._dataset = dataset

    @property
    def exists(self) -> bool:
        """Whether the table has been made."""
        return self._dataset is not None

    def recall(self, name: str) -> Any:
        """Tell what was remembered under this name, as plain data; None if there is nothing that can be read."""
        try:
            with self.folder.open(f"{name}.json") as file:
                return json.loads(file.read())
        except (OSError, ValueError):  # it was never written, or a killed process wrote half of it
            return None

    def remember(self, name: str, value: object) -> None:
        """Keep plain data beside the rows, under a name; it goes with the table. Raises OSError if it cannot."""
        self.folder.write(f"{name}.json", json.dumps(value).encode())

    def find(self, keys: pa.Array) -> IntArray:
        """Return the row of each key, -1 where there is none: int64 of shape (n_keys,). Keys are read in blocks."""
        starts = range(0, len(keys), KEYS_AT_ONCE)
        return np.concatenate(
            [np.empty(0, np.int64), *(self._find(keys[start : start + KEYS_AT_ONCE]) for start in starts)]
        )

    def _find(self, keys: pa.Array) -> IntArray:
        asked, position = np.unique(as_bytes(keys), return_inverse=True)
        rows: IntArray = np.full(len(asked), -1, dtype=np.int64)
        start = 0
        if self._dataset is not None and len(asked):
            with damage_named(self.folder):
                for batch in self._dataset.to_batches(columns=["key"], batch_size=KEYS_AT_ONCE):
                    there = as_bytes(batch["key"])
                    order = np.argsort(there, kind="stable")  # of equal keys, the first row stays first
                    places = np.minimum(np.searchsorted(asked, there[order]), len(asked) - 1)
                    found = np.flatnonzero(asked[places] == there[order])
                    known, first = np.unique(places[found], return_index=True)
                    new = rows[known] < 0
                    rows[known[new]] = start + order[found[first[new]]]
                    start += len(there)
        return np.asarray(rows[position])

    def take(self, rows: IntArray) -> NDArray[np.generic]:
        """Return the values in `rows`, of shape (n_rows, width), checked. Raises StoreError if one was altered."""
        distinct, position = np.unique(rows, return_inverse=True)
        if self._dataset is None:
            return np.empty((0, 0), dtype=np.float32)
        if not distinct.size:
            return np.empty((0, self._dataset.schema.field("value").type.list_size), dtype=np.float32)
        with damage_named(self.folder):
            found = self._dataset.take(distinct, columns=["key", "checksum", "value"])
            values = _values(found)
            if len(values) != len(distinct):
                raise ValueError(f"{len(distinct)} rows were asked for, and {len(values)} came")
        if altered := int((_checksums(found["key"], values) != found["checksum"].to_numpy()).sum()):
            raise _damage(self.folder, f"{altered} of {len(distinct)} rows read were altered")
        return values[position]

    def append(self, keys: pa.Array, values: NDArray[np.generic]) -> None:
        """Commit rows: all of them, or none. Raises StoreError if they cannot be written."""
        checksums = pa.array(_checksums(keys, values))
        value_type = pa.list_(pa.from_numpy_dtype(values.dtype), values.shape[1])
        column = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), type=value_type)
        schema = pa.schema(
            [("key", pa.binary(KEY_BYTES)), ("checksum", pa.uint32()), ("value", value_type)],
            metadata={"facts": json.dumps(self._facts, sort_keys=True)},
        )
        rows = pa.table([keys, checksums, column], schema=schema)
        try:
            if self._dataset is None:
                self._make(schema)
            lance.write_dataset(rows, str(self.folder), mode="append")
        except (OSError, ValueError) as error:
            raise StoreError(
                f"cannot write to the store at {self.folder.parent.parent}: {first_line(error)}. Free space there or "
                "allow writing, choose another with --store, or run with --no-store."
            ) from error

    def compact(self) -> None:
        """Merge the many small files that many commits leave. If it fails, nothing is lost."""
        if self._dataset is not None and len(self._dataset.get_fragments()) > FRAGMENTS_BEFORE_COMPACTION:
            with suppress(StoreError), damage_named(self.folder):  # another process compacts too, or a full disk
                # Pages are copied as they are: decoding them takes three times the memory, and longer.
                self._dataset.optimize.compact_files(num_threads=1, compaction_mode="try_binary_copy")
                self._dataset.cleanup_old_versions(older_than=OLD_VERSIONS_KEPT)
            self.refresh()

    def altered(self) -> IntArray:
        """Return rows whose checksum does not fit: int64 of shape (n_altered,)."""
        if self._dataset is None:
            return np.empty(0, dtype=np.int64)
        bad, start = [], 0
        with damage_named(self.folder):
            for batch in self._dataset.to_batches(columns=["key", "checksum", "value"], batch_size=65_536):
                rows = pa.Table.from_batches([batch])
                wrong = _checksums(rows["key"], _values(rows)) != rows["checksum"].to_numpy()
                bad.append(start + np.flatnonzero(wrong))
                start += rows.num_rows
        return np.concatenate(bad) if bad else np.empty(0, dtype=np.int64)

    def drop(self, rows: IntArray) -> None:
        """Write the table anew without some rows."""
        if self._dataset is not None:
            with damage_named(self.folder):
                kept = np.setdiff1d(np.arange(len(self)), rows)
                lance.write_dataset(self._dataset.take(kept), str(self.folder), mode="overwrite")
            self.refresh()

    def __len__(self) -> int:
        return 0 if self._dataset is None else int(self._dataset.count_rows())

    def _make(self, schema: pa.Schema) -> None:
        """Make the table, with no rows, once: where two processes try, one of them makes it.

        Not by `write_dataset`, which overwrites a table that another process has made since it looked.
        """
        nothing = lance.LanceOperation.Overwrite(schema, [])
        try:
            self._dataset = lance.LanceDataset.commit(str(self.folder), nothing, max_retries=0)
        except OSError:
            self.refresh()
            if self._dataset is None:
                raise


@contextmanager
def damage_named(folder: Folder) -> Iterator[None]:
    """Whatever reading a table raises is a StoreError that names it."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # on some damage lance panics, which Python sees as a BaseException
        raise _damage(folder, first_line(error)) from error


def opened(folder: Folder) -> lance.LanceDataset | None:
    """Return the newest version of the table in a folder; None if it has none, and no rows that one could have
    had.
    """
    try:
        return lance.dataset(str(folder))
    except ValueError as error:
        if "was not found" not in str(error):
            raise
    if not (folder / DATA).files():
        return None
    return lance.dataset(str(folder))  # another process made the table and wrote rows since the first look


def check_layout(dataset: lance.LanceDataset, folder: Folder) -> None:
    """Raise ValueError for columns of another version, and for data files whose footer contradicts itself.

    From such a footer Lance would make room for billions of columns, and end the whole process.
    """
    schema = dataset.schema
    types = dict(zip(schema.names, schema.types, strict=True))
    value = types.pop("value", None)
    if types != {"key": pa.binary(KEY_BYTES), "checksum": pa.uint32()} or not pa.types.is_fixed_size_list(value):
        raise ValueError("its columns are not those that this version of evalkit writes")
    for fragment in dataset.get_fragments():
        for each in fragment.data_files():
            with (folder / DATA).open(each.path) as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - FOOTER.size))
                end = file.read()
            if len(end) < FOOTER.size:
                raise ValueError(f"{each.path} is cut short")
            _, columns_at, buffers_at, buffers, columns, *_ = FOOTER.unpack(end)
            if (
                columns_at + columns * OFFSET_BYTES != buffers_at
                or buffers_at + buffers * OFFSET_BYTES + FOOTER.size != size
            ):
                raise ValueError(f"the footer of {each.path} contradicts itself")


def as_bytes(keys: pa.Array) -> NDArray[np.bytes_]:
    """Return keys as numpy sorts and compares them, without a copy: of shape (n_keys,)."""
    found: NDArray[np.bytes_] = np.frombuffer(keys.buffers()[1], dtype=f"S{KEY_BYTES}")
    return found[keys.offset : keys.offset + len(keys)]


def _damage(folder: Folder, what: str) -> StoreError:
    return StoreError(
        f"the store's table {folder} is damaged: {what}. `evalkit store verify` sets the damage aside; "
        "the next run computes it again."
    )


def _values(rows: pa.Table) -> NDArray[np.generic]:
    column = rows["value"].combine_chunks()
    return np.asarray(column.flatten().to_numpy().reshape(-1, column.type.list_size))


def _checksums(keys: pa.Array | pa.ChunkedArray, values: NDArray[np.generic]) -> NDArray[np.uint32]:
    content = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
    sums = (zlib.crc32(row.data, zlib.crc32(key)) for key, row in zip(keys.to_pylist(), content, strict=True))
    return np.fromiter(sums, np.uint32, len(values))
