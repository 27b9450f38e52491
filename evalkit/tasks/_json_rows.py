"""Rows of JSON: an object a line, an array of objects (alone, or the one array in an object), or an object of columns
(as pandas writes it by default)."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from evalkit.tasks.checks import Problems
from evalkit.tasks.opening import open_text, read_lines
from evalkit.tasks.rows import Fields

HALF_A_CHARACTER = "half a surrogate pair, which is no text"
START = 1 << 20
"""Characters in which a file's first object must end, for its fields to be known without reading all of it."""


def json_objects(path: Path, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield objects of a file that has one a line, with the numbers of their lines."""
    where = problems.place(path)
    for number, line in read_lines(path, problems):
        if not line.strip():
            continue
        try:
            values = json.loads(line, object_pairs_hook=unique)
        except (ValueError, RecursionError):  # not JSON, a key twice, a number too long, or nested too deeply
            values = None
        if isinstance(values, dict) and has_half_a_character(line, values):
            problems.add(f"{where}: {HALF_A_CHARACTER}", f"line {number}", fatal=True)
        elif isinstance(values, dict):
            yield number, values
        else:
            problems.add(f"{where}: not a JSON object", f"line {number}", fatal=True)


def json_table(path: Path, fields: Fields, problems: Problems) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield objects of a JSON document that is a table, numbered from 1; all of it is read into memory."""
    where = problems.place(path)
    text = "".join(line for _, line in read_lines(path, problems))
    try:
        document = json.loads(text, object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        problems.add(f"{where}: not JSON: {error.msg}", f"line {error.lineno}", fatal=True)
        return
    except (ValueError, RecursionError) as error:  # a key twice, a number too long, or nested too deeply
        problems.add(f"{where}: not JSON that can be read: {error}", fatal=True)
        return
    if has_half_a_character(text, document):
        problems.add(f"{where}: {HALF_A_CHARACTER}", fatal=True)
        return
    if is_of_columns(document, fields):
        rows = _rows_of_columns(document)
    elif key := _key_of_rows(document, fields):
        rows = document[key]
        problems.note(f"{where}: its rows are those under {key!r}.")
    else:
        rows = document
    if not isinstance(rows, list):
        problems.add(
            f"{where}: neither a JSON array of objects, nor columns of one length (pandas' to_json writes both, with "
            "orient='records' or 'columns')",
            fatal=True,
        )
        return
    for number, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield number, row
        else:
            problems.add(f"{where}: not a JSON object", f"row {number}", fatal=True)


def is_of_columns(document: object, fields: Fields) -> bool:
    """Tell whether a JSON document is an object of columns, each an array, or an object by row."""
    if not isinstance(document, dict) or not fields.match(list(document)):
        return False
    return all(isinstance(column, list | dict) for column in document.values())


def _key_of_rows(document: object, fields: Fields) -> str | None:
    """Return the key of the one array of objects in an object, as LlamaIndex's LabelledRagDataset has its
    `examples`.
    """
    if not isinstance(document, dict) or fields.match(list(document)):
        return None
    keys = [
        key for key, value in document.items() if isinstance(value, list) and value and isinstance(value[0], dict)
    ]
    return keys[0] if len(keys) == 1 else None


def first_object(path: Path) -> Mapping[str, object]:
    """Return the first object of a file of JSON, without reading further than it needs; empty if it cannot be had
    so.
    """
    with open_text(path) as file:
        start = file.read(START).lstrip()
    try:
        if start.startswith("["):
            document, _ = json.JSONDecoder().raw_decode(start, start.index("{"))
        else:
            document = json.loads(start.split("\n", 1)[0])
    except (ValueError, IndexError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def is_lines(path: Path, fields: Fields) -> bool:
    """Tell whether a file that begins with an object has one a line, and is not one object that holds all rows."""
    with open_text(path) as file:
        lines = list(islice((line for line in file if line.strip()), 2))
    try:
        document = json.loads(lines[0])
    except (ValueError, RecursionError):
        return False
    return len(lines) > 1 or not (is_of_columns(document, fields) or _key_of_rows(document, fields) is not None)


def has_half_a_character(text: str, values: object) -> bool:
    r"""Tell whether JSON, by its text and values, names one half of a surrogate pair without the other ("\ud83d")."""
    if "\\ud" not in text and "\\uD" not in text:  # quick, for large corpora
        return False
    try:
        json.dumps(values, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of its pairs. Raises ValueError for a key that is there twice: one value would be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} twice in one object")
    return values


def _rows_of_columns(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return rows of an object of columns; None if these are not of one length, or not of the same rows."""
    if len({tuple(column) if isinstance(column, dict) else len(column) for column in document.values()}) > 1:
        return None
    columns = [column.values() if isinstance(column, dict) else column for column in document.values()]
    return [dict(zip(document, values, strict=True)) for values in zip(*columns, strict=True)]
