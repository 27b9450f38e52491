"""Write everything a run leaves in its folder."""

from pathlib import Path

from evalkit.report.latex import to_latex
from evalkit.report.markdown import to_markdown
from evalkit.report.tables import make_tables
from evalkit.results import Results

LEADERBOARD, PAPER = "leaderboard.md", "leaderboard.tex"


def write_run(results: Results, folder: Path) -> None:
    """The results' own files, and the leaderboard in Markdown and LaTeX."""
    results.write(folder)
    tables = make_tables(results)
    (folder / LEADERBOARD).write_text(to_markdown(tables), encoding="utf-8")
    (folder / PAPER).write_text(to_latex(tables), encoding="utf-8")
