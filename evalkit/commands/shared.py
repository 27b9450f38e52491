"""What several commands share: exit statuses, options, and what an interruption leaves to say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from evalkit.results import Results

EXIT_FAILED_CELLS = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run the code that model repositories bring.")
]
AllowPickle = Annotated[
    bool | None, typer.Option("--allow-pickle", help="Read pickled weights, where there are no safetensors.")
]
StorePlace = Annotated[
    str | None, typer.Option("--store", help="What was computed before: a folder, or s3://bucket/folder.")
]


def show_partial(results: "Results", out: Path | None) -> NoReturn:
    """Show the tables of an interrupted run, say what is in the folder, and end with exit status 130."""
    from rich.console import Console

    from evalkit.report.tables import make_tables
    from evalkit.report.terminal import print_tables

    print_tables(make_tables(results), Console())
    if results.missing:
        typer.echo(f"Interrupted. A partial leaderboard is in {out}.", err=True)
    else:
        typer.echo(
            f"Interrupted while it was measured what the choices cost. All scores are in {out}, and what was "
            "measured: the same command goes on from there.",
            err=True,
        )
    raise typer.Exit(EXIT_INTERRUPTED)
