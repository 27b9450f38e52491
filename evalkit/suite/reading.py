"""Rows of JSONL, CSV, TSV and TREC files, with the line each came from."""

import codecs
import csv
import gzip
import json
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.suite.checks import Problems

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

HALF_A_CHARACTER = "half a surrogate pair, which is no text"
QRELS_COLUMNS = ("query-id", "corpus-id", "score")
PARQUET_ROWS_AT_ONCE = 4_096
PARQUET_BYTES_AT_ONCE = 1 << 20
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. Reading a field that is not as it should be notes a problem with the line number."""

    values: Mapping[str, object]
    where: str
    line: int
    problems: Problems

    def report(self, what: str, *, fatal: bool = False) -> None:
        """Note a problem with this row."""
        self.problems.add(f"{self.where}: {what}", f"line {self.line}", fatal=fatal)

    def text(self, key: str) -> str | None:
        """The string under `key`; None after noting that there is none."""
        value = self.values.get(key)
        if isinstance(value, str):
            return value
        missing = f"no field {key!r}" if key not in self.values else f"field {key!r} is not a string"
        self.report(missing, fatal=True)
        return None

    def identifier(self, key: str) -> str | None:
        """The id under `key` as a string (JSON integers too); None after noting that there is none."""
        value = self.values.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        return self.text(key)

    def number(self, key: str) -> float:
        """The number under `key` (digits in a string too); NaN or infinite after noting that."""
        if key not in self.values:
            self.report(f"no field {key!r}", fatal=True)
            return math.nan
        value = self.values[key]
        try:
            if isinstance(value, bool) or not isinstance(value, str | int | float):
                raise ValueError
            number = float(value)
        except (ValueError, OverflowError):
            self.report(f"{key} is not a number")
            return math.nan
        if not math.isfinite(number):
            self.report(f"{key} is not finite")
        return number


def read_lines(path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file (plain or .gz), numbered from 1; notes bytes that are not UTF-8."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
                try:
                    yield number, line.decode("utf-8")
                except UnicodeDecodeError:
                    problems.add(f"{path.name}: not UTF-8", f"line {number}", fatal=True)
                    # Going on with a stand-in finds the other problems, and keeps the line numbers right.
                    yield number, line.decode("utf-8", errors="replace")
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        problems.add(f"{path.name}: cannot be read: {reason}", fatal=True)


def read_rows(path: Path, problems: Problems) -> Iterator[Row]:
    """Rows of a .csv or .tsv file with a header, of a .parquet file, or of a file with a JSON object a line."""
    if path.suffix == ".parquet":
        return _parquet_rows(path, problems)
    delimiter = _DELIMITERS.get(path.suffix)
    return _table_rows(path, delimiter, problems) if delimiter else _json_rows(path, problems)


def read_qrels(path: Path, problems: Problems) -> Iterator[Row]:
    """Rows with the fields of `QRELS_COLUMNS`, from a BEIR file (with a header) or a TREC file (without)."""
    if path.suffix == ".parquet":
        yield from _parquet_rows(path, problems)
        return
    _, first = next(read_lines(path, problems), (1, ""))
    if len(first.split()) != 4 or QRELS_COLUMNS[0] in first:
        yield from _table_rows(path, "\t", problems)
        return
    for number, line in read_lines(path, problems):
        fields = line.split()
        if len(fields) == 4:
            del fields[1]  # TREC's iteration, which nobody uses
            yield Row(dict(zip(QRELS_COLUMNS, fields, strict=True)), path.name, number, problems)
        elif fields:
            problems.add(f"{path.name}: not QUERY 0 DOCUMENT GRADE", f"line {number}", fatal=True)


def read_columns(path: Path) -> tuple[str, ...]:
    """The fields of a file's first row, without reading further; empty if there is no such row."""
    row = next(read_rows(path, Problems(path)), None)
    return tuple(row.values) if row else ()


def has_half_a_character(text: str, values: object) -> bool:
    r"""Whether JSON, by its text and values, names one half of a surrogate pair without the other ("\ud83d")."""
    if "\\ud" not in text and "\\uD" not in text:  # quick, for large corpora
        return False
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _json_rows(path: Path, problems: Problems) -> Iterator[Row]:
    for number, line in read_lines(path, problems):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):  # not JSON, a number too long, or nested too deeply
            values = None
        if isinstance(values, dict) and has_half_a_character(line, values):
            problems.add(f"{path.name}: {HALF_A_CHARACTER}", f"line {number}", fatal=True)
        elif isinstance(values, dict):
            yield Row(values, path.name, number, problems)
        else:
            problems.add(f"{path.name}: not a JSON object", f"line {number}", fatal=True)


def open_parquet(path: Path) -> "ParquetFile":
    """A parquet file, read by a megabyte a column; by default all that was read stays in memory."""
    import pyarrow.parquet as pq

    return pq.ParquetFile(path, buffer_size=PARQUET_BYTES_AT_ONCE, pre_buffer=False)


def _parquet_rows(path: Path, problems: Problems) -> Iterator[Row]:
    import pyarrow as pa

    try:
        number = 0
        for batch in open_parquet(path).iter_batches(batch_size=PARQUET_ROWS_AT_ONCE):
            for values in batch.to_pylist():
                number += 1
                yield Row(values, path.name, number, problems)
    except (OSError, pa.ArrowException) as error:
        problems.add(f"{path.name}: cannot be read: {error}", fatal=True)


def _table_rows(path: Path, delimiter: str, problems: Problems) -> Iterator[Row]:
    # strict: a stray quotation mark is an error; otherwise it would swallow the rows up to the next mark.
    lines = (line for _, line in read_lines(path, problems))
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in reader:
            # DictReader collects surplus cells under None, and fills missing ones with None.
            row = Row({k: v for k, v in cells.items() if v is not None}, path.name, reader.line_num, problems)
            if None in cells:
                row.report("more cells than the header has", fatal=True)
            yield row
    except csv.Error as error:
        problems.add(f"{path.name}: not a table: {error}", f"line {reader.reader.line_num}", fatal=True)
