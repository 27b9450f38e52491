"""Values of cells as ids, texts and numbers, whatever type a file gives them."""

from decimal import Decimal

WHOLE = 2**53
"""Above this, a float does not hold every whole number."""
GRADES = {"true": 1.0, "false": 0.0}
SHOWN = 40
"""Characters of a value that an error shows."""


def as_identifier(value: object) -> str | None:
    """An id as a string: whole numbers without a point, even where a column of numbers has become one of floats.

    None if it is no id.
    """
    if isinstance(value, float | Decimal) and abs(float(value)) < WHOLE and value == int(value):
        return str(int(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return as_text(value)


def as_text(value: object) -> str | None:
    """A text, also one that a parquet file has as bytes; None if it is none."""
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def as_number(value: object, decimal: str = ".") -> float | None:
    """A number, also one in digits, with `decimal` as its point or with a point; None if it is none."""
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
    """A value as an error shows it: no longer than a line."""
    shown = repr(value)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}…"
