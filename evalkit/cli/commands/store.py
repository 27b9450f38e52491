"""`evalkit store`: look after what was computed before."""

from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.commands.shared import EXIT_FAILED_CELLS, StorePlace

if TYPE_CHECKING:
    from evalkit.store import Store

store_app = typer.Typer(no_args_is_help=True, help="Look after the store of vectors and pair scores.")


@store_app.command("ls")
def store_ls(store: StorePlace = None) -> None:
    """List the tables: model, rows, size, last use."""
    from rich.console import Console

    from evalkit.cli._listings import store_table
    from evalkit.reporting.terminal import print_tables

    opened = _opened(store)
    print_tables([store_table(f"Store: {opened.root}", opened.ls())], Console())


@store_app.command("verify")
def store_verify(store: StorePlace = None) -> None:
    """Check every row and remove altered ones.

    Unreadable tables are set aside. Exit status 1 if there were any.
    """
    damaged = False
    opened = _opened(store)
    for info, finding in opened.verify():
        typer.echo(f"{info.kind} of {info.model} ({info.folder.name[:12]}…): {finding}")
        damaged |= finding != "sound"
    for folder in opened.other_versions():
        typer.echo(f"{folder} is of another version of evalkit and is not read. Delete it if you have no use for it.")
    if damaged:
        raise typer.Exit(EXIT_FAILED_CELLS)


@store_app.command("prune")
def store_prune(
    store: StorePlace = None,
    older_than: Annotated[str | None, typer.Option(help="Not used for so long: 30d, 12h.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Keep at most so much, last used first: 500MB, 5GB.")] = None,
) -> None:
    """Remove tables by age, model or total size."""
    from evalkit.cli.commands.shared import parse_age, parse_size

    if older_than is None and model is None and max_size is None:
        raise typer.BadParameter("say what to remove: --older-than, --model or --max-size.")
    age, size = parse_age(older_than) if older_than else None, parse_size(max_size) if max_size else None
    for info in _opened(store).prune(age, model, size):
        typer.echo(f"removed {info.kind} of {info.model}: {info.rows} rows, {info.bytes / 1e6:.1f} MB")


def _opened(place: str | None) -> "Store":
    """Return the store there, or the usual one. Raises StoreError if there is none at a place that was named."""
    from evalkit.errors import StoreError
    from evalkit.store import Store, default_root
    from evalkit.store.folder import Folder

    if place is not None and not Folder(place).folders():
        raise StoreError(f"there is no store at {place}. Check --store; a run makes one there.")
    return Store(place or default_root())
