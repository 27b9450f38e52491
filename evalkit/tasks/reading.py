"""Rows of tables, whatever file they are in: CSV, TSV, JSONL, JSON, parquet or TREC's, with where each came from."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.tasks._dialect import BLANKS, Dialect, Lines, TableError, is_number, read_dialect, read_head
from evalkit.tasks._filenames import Format, format_of
from evalkit.tasks._json_rows import first_object, is_lines, json_objects, json_table
from evalkit.tasks.checks import Problems
from evalkit.tasks.opening import (
    UNREADABLE,
    compression_of,
    first_bytes,
    no_data,
    no_file,
    open_bytes,
    open_text,
    read_lines,
)
from evalkit.tasks.rows import Fields, Row

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

_NAME = re.compile(r"[A-Za-z_]{5,}\d*")
"""A header has such a name, and a first row of ids and numbers has not."""
PARQUET_ROWS_AT_ONCE = 4_096
PARQUET_BYTES_AT_ONCE = 1 << 20
_PARQUET = b"PAR1"


def read_rows(path: Path, fields: Fields, problems: Problems) -> Iterator[Row]:
    """Read a file's rows by what is in it and by its name; notes what cannot be read, and says what was decided.

    A needed field that no column can be, and two columns of one name, are noted, and then there are no rows.
    """
    where = problems.place(path)
    if reason := no_file(path):
        near = get_close_matches(path.name, [file.name for file in path.parent.glob("*")], 1)
        meant = f". Is {near[0]!r} meant?" if near and not path.exists() else ""
        problems.add(f"{where}: cannot be read: {reason}{meant}", fatal=True)
        return
    try:
        if reason := no_data(path):
            problems.add(f"{where}: cannot be read: {reason}", fatal=True)
            return
        form = form_of(path, fields)
    except (*UNREADABLE, UnicodeError) as error:
        problems.add(f"{where}: cannot be read: {error}", fatal=True)
        return
    if form == "parquet":
        yield from _parquet_rows(path, fields, problems)
    elif form in ("json", "jsonl"):
        yield from _json_rows(path, form, fields, problems)
    else:
        yield from _table_rows(path, form, fields, problems)


def rows_of_records(
    records: Iterable[Mapping[str, object]], where: str, fields: Fields, problems: Problems
) -> Iterator[Row]:
    """Read rows that are in memory; `where` is what problems call them.

    A needed field that no column can be is noted, and then there are no rows.
    """
    match = lru_cache(fields.match)
    for number, values in enumerate(records, start=1):
        if number == 1 and not _explain(fields, list(values), where, problems):
            return
        yield Row(values, match(tuple(values)), where, number, problems, "row")


def has_fields(path: Path, fields: Fields) -> bool:
    """Tell whether a file has columns for all fields that are needed, by its first row alone."""
    try:
        form = form_of(path, fields)
        if form == "parquet":
            columns = list(open_parquet(path).schema_arrow.names)
        elif form in ("json", "jsonl"):
            columns = list(first_object(path))
        else:
            head = read_head(lambda: (line for _, line in read_lines(path, Problems(path))), fields, _usual(form))
            columns = list(head.columns) if head else []
    except (*UNREADABLE, ValueError):
        return False
    return not fields.missing(columns)


def open_parquet(path: Path) -> "ParquetFile":
    """Return a parquet file, read by a megabyte a column; by default all that was read stays in memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if compression_of(path):
        with open_bytes(path) as file:
            return pq.ParquetFile(pa.BufferReader(file.read()))
    return pq.ParquetFile(path, buffer_size=PARQUET_BYTES_AT_ONCE, pre_buffer=False)


def form_of(path: Path, fields: Fields) -> Format:
    """Tell what a file is read as: what it is beyond doubt, else what its name says."""
    named = format_of(path)
    if named == "parquet" or first_bytes(path, len(_PARQUET)) == _PARQUET:
        return "parquet"
    if named in ("csv", "tsv"):
        return named
    with open_text(path) as file:
        start = file.read(1_000).lstrip()
    if start.startswith("[") and (named in ("json", "jsonl") or start[1:].lstrip().startswith("{")):
        return "json"
    if start.startswith("{") and (named in ("json", "jsonl") or start[1:].lstrip().startswith('"')):
        return "jsonl" if is_lines(path, fields) or named == "jsonl" else "json"
    return "jsonl" if named in ("json", "jsonl") else "txt"


def _usual(form: Format) -> str:
    return "," if form == "csv" else "\t"


def _json_rows(path: Path, form: Format, fields: Fields, problems: Problems) -> Iterator[Row]:
    where = problems.place(path)
    match = lru_cache(fields.match)
    objects = json_objects(path, problems) if form == "jsonl" else json_table(path, fields, problems)
    unit = "line" if form == "jsonl" else "row"
    is_first = True
    for number, values in objects:
        if is_first:
            _explain(fields, list(values), where, problems)
            is_first = False
        yield Row(values, match(tuple(values)), where, number, problems, unit)


def _parquet_rows(path: Path, fields: Fields, problems: Problems) -> Iterator[Row]:
    import pyarrow as pa

    where = problems.place(path)
    try:
        file = open_parquet(path)
        names = file.schema_arrow.names
        if not _has_columns(fields, names, where, problems):
            return
        columns, number = fields.match(names), 0
        for batch in file.iter_batches(batch_size=PARQUET_ROWS_AT_ONCE):
            for values in batch.to_pylist():
                number += 1
                yield Row(values, columns, where, number, problems, "row")
    except (*UNREADABLE, pa.ArrowException) as error:
        problems.add(f"{where}: cannot be read: {error}", fatal=True)


def _table_rows(path: Path, form: Format, fields: Fields, problems: Problems) -> Iterator[Row]:
    where = problems.place(path)

    def lines() -> Iterator[str]:
        return (line for _, line in read_lines(path, problems))

    try:
        dialect = read_dialect(lines, fields, _usual(form))
        if dialect is None:
            return
        no_header = f". Is its first line no header? Add {(dialect.delimiter or ' ').join(fields.needed)!r}"
        are_names = any(map(_NAME.fullmatch, dialect.columns)) and not any(map(is_number, dialect.columns))
        if not _has_columns(fields, dialect.columns, where, problems, "" if are_names else no_header):
            return
        for note in dialect.notes:
            problems.note(f"{where}: {note}.")
        yield from _rows_of(dialect, lines, where, fields, problems)
    except TableError as error:
        problems.add(f"{where}: {error}", f"line {error.line}" if error.line else None, fatal=True)


def _rows_of(dialect: Dialect, lines: Lines, where: str, fields: Fields, problems: Problems) -> Iterator[Row]:
    names = dialect.columns
    columns = fields.match(names)
    for line, cells in dialect.rows(lines()):
        values = {name: cell for name, cell in zip(names, cells, strict=False) if name}
        row = Row(values, columns, where, line, problems, decimal=dialect.decimal)
        if dialect.delimiter == BLANKS and len(cells) != len(names):
            row.report(f"not {' '.join(names)}", fatal=True)
            continue
        if not dialect.ragged and any(cells[len(names) :]):
            row.report("more cells than the header has", fatal=True)
        yield row


def _has_columns(fields: Fields, names: Sequence[str], where: str, problems: Problems, else_say: str = "") -> bool:
    """Tell whether a table has all columns that are needed, and each once; else that is noted.

    `else_say` is what is said where it has none of them.
    """
    twice = sorted({name for name in names if name and list(names).count(name) > 1})
    for name in twice:
        problems.add(f"{where}: two columns are called {name!r}", fatal=True)
    return _explain(fields, names, where, problems, else_say) and not twice


def _explain(fields: Fields, names: Sequence[str], where: str, problems: Problems, else_say: str = "") -> bool:
    missing = fields.missing(names)
    more = "" if fields.match(names) else else_say
    for group in missing:
        problems.add(f"{where}: {fields.explain(group, names)}{more}", fatal=True)
    return not missing
