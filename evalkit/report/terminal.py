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
            pad_edge=False, title=Text(table.title), title_justify="left", title_style="bold cyan", box=box.SIMPLE_HEAD,
            caption=Text(table.note) if table.note else None, caption_justify="left",
        )  # fmt: skip
        for number, column in enumerate(table.columns):
            is_text = number < table.text_columns
            # A number never folds; a score and its interval may stand one below the other.
            longest = max((len(word) for row in table.rows for word in row[number].text.split()), default=0)
            drawn.add_column(
                Text(column),
                justify="left" if is_text else "right",
                overflow="fold",
                min_width=None if is_text else longest,
            )
        for row in table.rows:
            drawn.add_row(*(Text(cell.text, style="bold green" if cell.best else "") for cell in row))
        console.print(drawn)
