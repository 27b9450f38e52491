"""`evalkit report` and `evalkit compare`: what runs say, and what changed from one to another."""

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.commands.gate import Pairs, old_and_new
from evalkit.cli.commands.shared import exit_if_reports_failed


def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN", help="Folders that runs were written to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
    tables: Annotated[
        bool,
        typer.Option("--tables", help="Write each run's tables anew into its folder, and no page."),
    ] = False,
) -> None:
    """Write one HTML file on one or several runs. A browser reads it without a network."""
    from evalkit.reporting.html import write_report
    from evalkit.reporting.write import TABLES, Reports
    from evalkit.results import Results

    if tables:
        for folder in runs:
            reports = Reports(Results.read(folder))
            reports.write_tables(folder)
            exit_if_reports_failed(reports, folder)
            typer.echo(f"Written to {folder}: {', '.join(TABLES)}.")
        return
    write_report({name: Results.read(folder) for name, folder in _named(runs).items()}, out)
    typer.echo(f"Written to {out} ({out.stat().st_size / 1e6:.1f} MB).")


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run before.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run after.")],
    pair: Pairs = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write too: .md or .html.")] = None,
) -> None:
    """Say what changed from one run to another. Scores have paired intervals; queries and inputs are compared too."""
    from rich.console import Console

    from evalkit.reporting.changes import change_tables, changes_to_markdown, headline
    from evalkit.reporting.html.changes import write_changes
    from evalkit.reporting.terminal import print_tables
    from evalkit.results import Results
    from evalkit.results.diff import compare_runs

    if out is not None and out.suffix not in (".md", ".html"):
        raise typer.BadParameter(f"{out}: the file's name must end in .md or .html.")
    names = list(_named([run_a, run_b]))
    name_a, name_b = names if len(names) == 2 else (names[0], names[0])
    before, after = Results.read(run_a), Results.read(run_b)
    changes = compare_runs(before, after, dict(map(old_and_new, pair or ())))
    console = Console()
    print_tables(change_tables(changes, name_a, name_b), console)
    for sentence in headline(changes):
        console.print(sentence, markup=False, highlight=False)
    if out is not None and out.suffix == ".md":
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(changes_to_markdown(changes, name_a, name_b), encoding="utf-8")
    elif out is not None:
        write_changes(changes, (before, after), (name_a, name_b), out)
    if out is not None:
        typer.echo(f"Written to {out}.")


def _named(runs: list[Path]) -> dict[str, Path]:
    """Run folders by a short name each: the folder's own, with as much of its path as tells them apart."""
    paths = list(dict.fromkeys(run.resolve() for run in runs))
    parts = 1
    while len(named := {"/".join(path.parts[-parts:]): path for path in paths}) < len(paths):
        parts += 1
    return named
