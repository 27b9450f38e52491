"""A table for people; how it is drawn is for the renderers."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TableCell:
    """A piece of text; `best` marks the best value of its column, `tied` one that cannot be told from the best."""

    text: str
    best: bool = False
    tied: bool = False

    @property
    def mark(self) -> str:
        """What stands behind the text."""
        return " ≈" if self.tied else ""


@dataclass(frozen=True)
class Table:
    """A titled table: column names, rows of as many cells, a note below; columns after `text_columns` are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""
    text_columns: int = 1


def in_brackets(low: float, high: float, form: str, scale: float = 1) -> str:
    """An interval as it stands behind its score: " (0.31–0.52)", " (-0.10 to 0.25)"; "" where there is none."""
    if math.isnan(low):
        return ""
    return f" ({form.format(scale * low)}{'–' if low >= 0 else ' to '}{form.format(scale * high)})"
