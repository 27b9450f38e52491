"""The command line: parse, call, exit code. Heavy modules are imported by the command that needs them."""

import errno
import sys
import warnings
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.cli.commands.exchange import export_app, import_app
from evalkit.cli.commands.gate import baseline, gate
from evalkit.cli.commands.letters import show_what_can_be_shown
from evalkit.cli.commands.listings import models, tasks
from evalkit.cli.commands.pick import pick
from evalkit.cli.commands.report import compare, report
from evalkit.cli.commands.run import run
from evalkit.cli.commands.shared import EXIT_USAGE
from evalkit.cli.commands.store import store_app
from evalkit.errors import EvalkitError

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, report, compare, baseline, gate, pick, models, tasks):
    app.command()(command)
app.add_typer(export_app, name="export")
app.add_typer(import_app, name="import")
app.add_typer(store_app, name="store")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _evalkit(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Pick, compare and regression-test embedding models and rerankers, on your own data."""


def main() -> None:
    """Entry point: an error raised on purpose, or a name too long for a file, is one message and exit status 2."""
    show_what_can_be_shown()
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        app(prog_name="evalkit")
    except EvalkitError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        typer.echo(f"error: {str(error.filename)[:40]!r}… is longer than a file's name can be. Check it.", err=True)
        sys.exit(EXIT_USAGE)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    typer.echo(f"{'warning' if issubclass(category, UserWarning) else category.__name__}: {message}", err=True)
