"""Write everything a run leaves in its folder."""

from pathlib import Path

from evalkit.report.latex import to_latex
from evalkit.report.markdown import to_markdown
from evalkit.report.tables import make_tables
from evalkit.results import Results
from evalkit.results.folder import replacing
from evalkit.results.measurements import CELLS, TRUNCATED
from evalkit.results.results import PROVENANCE, PUBLISHED

LEADERBOARD, PAPER, REPORT = "leaderboard.md", "leaderboard.tex", "report.html"
NOT_OF_ALL_RUNS = (PUBLISHED, CELLS, TRUNCATED, REPORT)


def write_run(results: Results, folder: Path) -> None:
    """The results' own files, and the leaderboard in Markdown and LaTeX, in place of those of a run before.

    See `folder.replacing` for what a kill leaves, and what it raises.
    """
    with replacing(folder, PROVENANCE, NOT_OF_ALL_RUNS) as new:
        results.write(new)
        tables = make_tables(results)
        (new / LEADERBOARD).write_text(to_markdown(tables), encoding="utf-8")
        (new / PAPER).write_text(to_latex(tables), encoding="utf-8")
