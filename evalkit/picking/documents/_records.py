"""Tables as texts: CSV, TSV, JSON, JSONL and spreadsheets, a record a row.

A record becomes a line "field: value" for each field that is read, and a blank line is between two records. Those
fields are read that are asked for, or else all that have a letter in a value; if that is one alone, its values stand
without its name.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from evalkit.picking.documents._office import check_office
from evalkit.picking.documents._text import Text, UnreadableError, decode, joined, needed

Record = Sequence[tuple[str, str]]
"""Names of fields with their values; a name may be there several times."""
_DELIMITERS = ",;\t|"
_CELL_CHARACTERS = 2**31 - 1
"""The longest cell that can be read; csv's own limit is 131,072 characters."""
_ALONE = "text"
"""The name of what has none: the texts in a list of texts."""


@dataclass(frozen=True)
class Records:
    """The records of a file, in tables with their titles ("" where there is but one), and what is doubtful."""

    tables: Mapping[str, Sequence[Record]]
    note: str = ""

    def as_text(self, wanted: Sequence[str] = ()) -> Text:
        """Return the records as text, of the fields that are `wanted`: by name, or by the name of what they are in.

        Raises UnreadableError if none of them is there.
        """
        has_letters: dict[str, bool] = {}
        for table in self.tables.values():
            for name, value in (field for record in table for field in record):
                has_letters[name] = has_letters.get(name, False) or any(map(str.isalpha, value))
        chosen = [
            name
            for name, letters in has_letters.items()
            if (any(within(name, each) for each in wanted) if wanted else letters)
        ]
        if wanted and not chosen:
            raise UnreadableError(
                f"none of the fields {', '.join(wanted)}; it has {', '.join(has_letters) or 'none'}"
            )
        parts: list[Text] = []
        for title, table in self.tables.items():
            parts += [Text.of_heading(title)] if title else []
            parts += [Text(_written(record, chosen)) for record in table]
        text = joined(parts)
        left_out = tuple(name for name in has_letters if name not in chosen)
        return replace(text, note=self.note, fields=tuple(chosen), left_out=left_out)


def within(name: str, wanted: str) -> bool:
    """Tell whether a field is the one that is wanted, or is in it: "meta.author" is in "meta"."""
    return name == wanted or name.startswith(f"{wanted}.")


def _written(record: Record, fields: Sequence[str]) -> str:
    values = [(name, value.strip()) for name, value in record if name in fields and value.strip()]
    return "\n".join(value if len(fields) == 1 else f"{name}: {value}" for name, value in values)


def read_csv(path: Path) -> Records:
    """Return the rows of a file of cells with any usual delimiter.

    Raises UnreadableError where quotation marks do not enclose cells.
    """
    text = decode(path.read_bytes())
    first = next((line for line in text.content.splitlines() if line.strip()), "")
    usual = "," if path.suffix.lower() == ".csv" else "\t"
    delimiters = sorted(_DELIMITERS, key=lambda each: each != usual)
    csv.field_size_limit(_CELL_CHARACTERS)
    try:
        delimiter = max(delimiters, key=lambda each: len(next(csv.reader([first], delimiter=each), [])))
        # strict: a stray quotation mark is an error; otherwise it would swallow the rows up to the next mark.
        rows = list(csv.reader(io.StringIO(text.content, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise UnreadableError(f"not a table: {error}") from error
    return replace(Records({"": _with_names(rows)}), note=text.note)


def read_xlsx(path: Path) -> Records:
    """Return the rows of all sheets, with the values that formulas had when the file was saved."""
    openpyxl = needed("openpyxl", "reading .xlsx")
    check_office(path)
    workbook = openpyxl.load_workbook(path, read_only=True, data_only=True)
    try:
        sheets = {
            sheet.title: _with_names([[_as_text(cell) for cell in row] for row in sheet.iter_rows(values_only=True)])
            for sheet in workbook.worksheets
        }
    finally:
        workbook.close()
    filled = {title: records for title, records in sheets.items() if records}
    return Records(filled if len(filled) > 1 else {"": [*chain.from_iterable(filled.values())]})


def _with_names(rows: Iterable[Sequence[str]]) -> list[Record]:
    """Return rows as records, named by the first one; "column 1" and so on where that is no header."""
    filled = [row for row in rows if any(map(str.strip, row))]
    if not filled:
        return []
    names = _header(filled[0])
    width = max(map(len, filled))
    columns = [*names, *(f"column {number}" for number in range(len(names) + 1, width + 1))]
    return [list(zip(columns, row, strict=False)) for row in (filled[1:] if names else filled)]


def _header(cells: Sequence[str]) -> list[str]:
    """Return the names in a row of different names that are no numbers; none if it is something else."""
    named = [cell.strip() for cell in cells if cell.strip()]
    if len(set(named)) < len(named) or not all(any(map(str.isalpha, name)) for name in named):
        return []
    return [cell.strip() or f"column {number}" for number, cell in enumerate(cells, start=1)]


def read_json(path: Path) -> Records:
    """Return the rows of a list, or of the one list of objects that an object has; any other document is one record.

    What such an object has beside its list is a record too, the first one.
    """
    text = decode(path.read_bytes())
    try:
        document = json.loads(text.content)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"not JSON: {error}") from error
    rows: list[object] = document if isinstance(document, list) else [document]
    if isinstance(document, dict):
        lists = [key for key, value in document.items() if _is_table(value)]
        if len(lists) == 1:
            rest = {key: value for key, value in document.items() if key != lists[0]}
            rows = [rest, *document[lists[0]]]
    return Records({"": [list(_flat(row)) for row in rows]}, text.note)


def _is_table(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def read_jsonl(path: Path) -> Records:
    """Return a record for each line; lines that are not JSON are left out, and counted in the note."""
    text = decode(path.read_bytes())
    records: list[Record] = []
    faults: list[str] = []
    lines = [(number, line) for number, line in enumerate(text.content.split("\n"), start=1) if line.strip()]
    for number, line in lines:
        try:
            records.append(list(_flat(json.loads(line))))
        except json.JSONDecodeError as error:
            faults.append(f"line {number}: {error.msg}")
    if faults and not records:
        raise UnreadableError(f"no line is JSON; {faults[0]}")
    note = f"{len(faults)} of {len(lines)} lines are not JSON ({faults[0]})" if faults else ""
    return Records({"": records}, "; ".join(filter(None, [text.note, note])))


def _flat(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield all that a value of JSON holds: "a.b" names b in a, and each item of a list has the list's name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        if any(isinstance(each, dict | list) for each in value):
            for each in value:
                yield from _flat(each, name)
        elif value:
            yield name or _ALONE, ", ".join(map(_as_text, value))
    elif value is not None:
        yield name or _ALONE, _as_text(value)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        # Half a surrogate pair, which JSON can name, could be written nowhere.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
