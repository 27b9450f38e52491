"""Tables on the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

from evalkit.report.tables import Table


def print_tables(tables: Sequence[Table], console: Console) -> None:
    """Draw all tables; the best of a column in bold."""
    for table in tables:
        drawn = RichTable(
            title=Text(table.title), title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD,
            caption=Text(table.note) if table.note else None, caption_justify="left",
        )  # fmt: skip
        for number, column in enumerate(table.columns):
            is_text = number < table.text_columns
            longest = max((len(row[number].text) for row in table.rows), default=0)
            drawn.add_column(
                Text(column),
                justify="left" if is_text else "right",
                overflow="fold",
                min_width=None if is_text else longest,
            )
        for row in table.rows:
            drawn.add_row(*(Text(cell.text, style="bold green" if cell.best else "") for cell in row))
        console.print(drawn)
