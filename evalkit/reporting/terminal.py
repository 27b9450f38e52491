"""Tables on the terminal."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evalkit.reporting.table import Table

PADDING = 3
"""Characters between two columns."""
LABEL_WIDTH = 18
"""Of a text column: what is longer folds before a table is split."""
HEADER_WIDTH = 9
"""Of a column's name: what is longer folds."""


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Draw all tables; the best of a column in bold. One that is too wide is split between columns of numbers."""
    for table in tables:
        for part in _parts(table, console.width):
            console.print(_drawn(part, console.width))


def _parts(table: Table, width: int) -> Iterator[Table]:
    labels = list(range(table.text_columns))
    free = width - sum(min(LABEL_WIDTH, _longest_text(table, label)) + PADDING for label in labels)
    groups: list[list[int]] = [[]]
    left = free
    for number in range(table.text_columns, len(table.columns)):
        needed = _least_width(table, number) + PADDING
        if needed > left and groups[-1]:
            groups.append([])
            left = free
        groups[-1].append(number)
        left -= needed
    for group in groups:
        kept = [*labels, *group]
        yield replace(
            table,
            title=table.title if group is groups[0] else "",
            columns=tuple(table.columns[column] for column in kept),
            rows=tuple(tuple(row[column] for column in kept) for row in table.rows),
            note=table.note if group is groups[-1] else "",
        )


def _longest_text(table: Table, column: int) -> int:
    return max(
        len(text) for text in (table.columns[column], *(row[column].text + row[column].mark for row in table.rows))
    )


def _least_width(table: Table, column: int) -> int:
    """Keep numbers from folding; a score and its interval may stand one below the other."""
    numbers = max((len(word) for row in table.rows for word in row[column].text.split()), default=0)
    return max(numbers, min(HEADER_WIDTH, max(map(len, table.columns[column].split()), default=0)))


def _drawn(table: Table, width: int) -> RichTable:
    # Left to itself, the drawing library would take the room from wherever it likes, and cut numbers off.
    tight = sum(_longest_text(table, column) + PADDING for column in range(len(table.columns))) > width
    drawn = RichTable(
        pad_edge=False, box=box.SIMPLE_HEAD,
        title=Text(table.title) if table.title else None, title_justify="left", title_style="bold cyan",
        caption=Text(table.note) if table.note else None, caption_justify="left",
    )  # fmt: skip
    for number, column in enumerate(table.columns):
        is_text = number < table.text_columns
        drawn.add_column(
            Text(column),
            justify="left" if is_text else "right",
            overflow="fold",
            width=_least_width(table, number) if tight and not is_text else None,
        )
    for row in table.rows:
        drawn.add_row(*(Text(cell.text + cell.mark, style="bold green" if cell.best else "") for cell in row))
    return drawn
