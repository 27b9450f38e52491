"""Write everything a run leaves in its folder."""

from pathlib import Path

from evalkit.report.markdown import to_markdown
from evalkit.report.tables import make_tables
from evalkit.results import Results

LEADERBOARD = "leaderboard.md"


def write_run(results: Results, folder: Path) -> None:
    """The results' own files, and the leaderboard in Markdown."""
    results.write(folder)
    (folder / LEADERBOARD).write_text(to_markdown(make_tables(results)), encoding="utf-8")
