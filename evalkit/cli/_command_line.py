"""The command line: parse, call, exit code. Heavy modules are imported by the command that needs them."""

import codecs
import errno
import io
import sys
import unicodedata
import warnings
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.cli.commands.exchange import export_app, import_app
from evalkit.cli.commands.gate import baseline, gate
from evalkit.cli.commands.listings import models, tasks
from evalkit.cli.commands.pick import pick
from evalkit.cli.commands.questions import questions
from evalkit.cli.commands.report import compare, report
from evalkit.cli.commands.run import run
from evalkit.cli.commands.shared import EXIT_USAGE
from evalkit.cli.commands.store import store_app
from evalkit.cli.commands.surface import surface
from evalkit.errors import EvalkitError

HANDLER = "evalkit.letters"
_LIKE = {
    "–": "-", "—": "-", "−": "-", "≈": "~", "×": "x", "±": "~", "→": ">", "←": "<", "…": ".", "·": ".", "•": "*",
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "≤": "<", "≥": ">", "│": "|", "─": "-",
}  # fmt: skip
"""One sign for one, so that the columns of tables stay."""


def show_what_can_be_shown() -> None:
    """Let standard output replace what it cannot encode. Standard error does so already: Python writes escapes."""
    codecs.register_error(HANDLER, _replaced)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=HANDLER)


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_like, error.object[error.start : error.end])), error.end


def _like(letter: str) -> str:
    """Return a sign of ASCII in the place of a letter: what looks like it, the letter without its marks, or "?"."""
    bare = unicodedata.normalize("NFKD", letter)[0]
    return _LIKE.get(letter) or (bare if bare.isascii() and bare.isprintable() else "?")


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (run, report, compare, baseline, gate, pick, questions, surface, models, tasks):
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
