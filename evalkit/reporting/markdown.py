"""Tables as GitHub-flavoured Markdown."""

from collections.abc import Sequence

from evalkit.reporting.table import Table, TableCell


def to_markdown(tables: Sequence[Table]) -> str:
    """All tables, each under its title; the best of a column in bold."""
    return "\n\n".join(_table(table) for table in tables) + "\n"


def _table(table: Table) -> str:
    lines = [f"### {_escape(table.title)}", ""]
    lines.append(_line([_escape(column) for column in table.columns]))
    lines.append(_line(["---" if column < table.text_columns else "---:" for column in range(len(table.columns))]))
    lines += [_line([_cell(cell) for cell in row]) for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(cell: TableCell) -> str:
    text = _escape(cell.text)
    return (f"**{text}**" if cell.best else text) + cell.mark


def _escape(text: str) -> str:
    for character in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())
