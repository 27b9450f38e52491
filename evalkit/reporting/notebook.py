"""Results as a notebook shows them: the answer for each task, and the first rows of its leaderboard."""

from html import escape
from itertools import islice

from evalkit.reporting.html.answer import answer
from evalkit.reporting.html.units import make_units
from evalkit.reporting.table import Table, TableCell
from evalkit.reporting.tables import make_tables
from evalkit.results import Results

SHOWN = 5
"""Rows of each leaderboard that are shown."""
SENTENCES = 2
"""Of the answer: what is best, and what ties with it."""


def to_html(results: Results) -> str:
    """Put the results in HTML that needs no style and no script."""
    answers = [answer(unit)[:SENTENCES] for unit in make_units(results)]
    tables = make_tables(results)
    parts = [f"<p>{escape(' '.join(sentences))}</p>" for sentences in answers]
    parts += [_table(table) for table in islice(tables, len(answers))]
    failed = len(results.failures)
    if failed:
        parts.append(f"<p>{failed} cell(s) failed: see <code>results.failures</code>.</p>")
    return "\n".join(parts)


def _table(table: Table) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = ("".join(map(_cell, row)) for row in table.rows[:SHOWN])
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    more = len(table.rows) - SHOWN
    note = f"<p>… and {more} more: <code>results.leaderboard()</code></p>" if more > 0 else ""
    caption = f"<caption>{escape(table.title)}</caption>"
    return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"


def _cell(cell: TableCell) -> str:
    text = escape(cell.text + cell.mark)
    return f"<td><b>{text}</b></td>" if cell.best else f"<td>{text}</td>"
