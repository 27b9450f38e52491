"""One row of a table, and how its fields are read as ids, texts and numbers, whatever type a file gives them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from evalkit.tasks.checks import Problems
from evalkit.tasks.columns import Columns

WHOLE = 2**53
"""Above this, a float does not hold every whole number."""
GRADES = {"true": 1.0, "false": 0.0}
SHOWN = 40
"""Characters of a value that an error shows."""


def as_identifier(value: object) -> str | None:
    """Return an id as a string: whole numbers without a point, even where a column of numbers has become one of
    floats.

    None if it is no id.
    """
    if isinstance(value, float | Decimal) and abs(float(value)) < WHOLE and value == int(value):
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def as_text(value: object) -> str | None:
    """Return a text, also one that a parquet file has as bytes; None if it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def as_number(value: object, decimal: str = ".") -> float | None:
    """Return a number, also one in digits, with `decimal` as its point or with a point; None if it is none."""
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    if isinstance(value, str) and (decimal != "." or "_" in value):
        if "_" in value or (decimal in value and "." in value):
            return None
        value = value.replace(decimal, ".")
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def as_grade(value: object, decimal: str = ".") -> float | None:
    """Read a grade: a number, or true (1) or false (0), as a value or in words; None if it is none."""
    number = as_number(value, decimal)
    return GRADES.get(str(value).casefold()) if number is None else number


def as_shown(value: object) -> str:
    """Return a value as an error shows it: no longer than a line."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. Reading a field that is not as it should be notes a problem, with where the row is.

    `columns` are those that can be each field; `unit` is what `line` counts; `decimal` is the point in numbers.
    """

    values: Mapping[str, object]
    columns: Columns
    where: str
    line: int
    problems: Problems
    unit: str = "line"
    decimal: str = "."

    def report(self, what: str, *, value: object = None, fatal: bool = False) -> None:
        """Note a problem with this row, and the value that is wrong."""
        shown = "" if value is None else f" has {as_shown(value)}"
        self.problems.add(f"{self.where}: {what}", f"{self.unit} {self.line}{shown}", fatal=fatal)

    def has(self, field: str) -> bool:
        """Tell whether the row has a column for the field."""
        return any(column in self.values for column in self.columns.get(field, ()))

    def get(self, field: str) -> object:
        """Return the field's value; None if there is none. Notes two columns that could be it and differ."""
        columns = self.columns.get(field, ())
        if len(columns) < 2:
            return self.values.get(columns[0]) if columns else None
        there = [column for column in columns if self.values.get(column) not in (None, "")]
        if len({str(self.values[column]) for column in there}) > 1:
            listed = " and ".join(map(repr, there))
            self.report(f"{listed} could each be {field!r}, and differ: rename or remove one", fatal=True)
        return self.values[there[0]] if there else None

    def text(self, field: str) -> str | None:
        """Return the field as a string; None after noting that there is none."""
        text = as_text(self.get(field))
        if text is None:
            self._report_no_string(field)
        return text

    def written(self, field: str) -> str:
        """Return the field as a string, after noting that there is none, or that nothing is written in it."""
        text = self.text(field)
        if text is not None and not text.strip():
            self.report(f"{field} with no text")
        return text or ""

    def identifier(self, field: str) -> str | None:
        """Return the id in the field as a string (whole numbers too); None after noting that there is none."""
        identifier = as_identifier(self.get(field))
        if identifier is None:
            self._report_no_string(field)
        return identifier

    def number(self, field: str) -> float:
        """Return the number in the field (digits in a string too); NaN or infinite after noting that."""
        return self._finite(field, as_number)

    def grade(self, field: str) -> float:
        """Return the grade in the field: a number, or true (1) or false (0); NaN or infinite as `number`."""
        return self._finite(field, as_grade)

    def _finite(self, field: str, read: Callable[[object, str], float | None]) -> float:
        if not self.has(field):
            self.report(f"no field {field!r}", fatal=True)
            return math.nan
        value = self.get(field)
        number = read(value, self.decimal)
        if number is None:
            self.report(f"{field} is not a number", value=value)
            return math.nan
        if not math.isfinite(number):
            self.report(f"{field} is not finite")
        return number

    def rest(self) -> dict[str, object]:
        """Return the values that no field has, by column."""
        fields = {column for columns in self.columns.values() for column in columns}
        return {column: value for column, value in self.values.items() if column not in fields}

    def _report_no_string(self, field: str) -> None:
        self.report(f"field {field!r} is not a string" if self.has(field) else f"no field {field!r}", fatal=True)
