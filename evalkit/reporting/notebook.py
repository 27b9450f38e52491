"""Results as a notebook shows them: the answer for each task, and the first cells of its leaderboard."""

from html import escape

from evalkit.reporting._significance import row_name
from evalkit.reporting.html.answer import answer
from evalkit.reporting.html.units import Unit, make_units
from evalkit.reporting.table import in_brackets
from evalkit.results import Results

SHOWN = 5
"""A leaderboard shows so many cells."""
SENTENCES = 2
"""An answer is cut to so many: what is best, and what ties with it."""


def to_html(results: Results) -> str:
    """Put the results in HTML that needs no style and no script."""
    parts = []
    for unit in make_units(results):
        parts.append(f"<p>{escape(' '.join(answer(unit)[:SENTENCES]))}</p>")
        parts += [] if unit.main is None else [_board(unit, unit.main.name, unit.main.title)]
    if results.failures:
        parts.append(f"<p>{len(results.failures)} cell(s) failed: see <code>results.failures</code>.</p>")
    return "\n".join(parts)


def _board(unit: Unit, metric: str, title: str) -> str:
    """Return the best cells with their scores and intervals, best first."""
    scores = unit.boards[metric].head(SHOWN)
    rows = [
        f"<tr><td>{escape(row_name(cell))}</td><td>{score:.3f}{in_brackets(low, high, '{:.3f}')}</td></tr>"
        for (_, cell), score, low, high in zip(
            unit.cells.iterrows(), scores["score"], scores["ci_low"], scores["ci_high"], strict=False
        )
    ]
    more = len(unit.cells) - len(rows)
    note = f"<p>… and {more} more: <code>results.leaderboard()</code></p>" if more > 0 else ""
    caption = f"<caption>{escape(unit.task)} ({escape(unit.split)})</caption>"
    head = f"<thead><tr><th>Model</th><th>{escape(title)}</th></tr></thead>"
    return f"<table>{caption}{head}<tbody>{''.join(rows)}</tbody></table>{note}"
