"""`evalkit models` and `evalkit tasks`: what can be named."""

from typing import Annotated

import typer


def models(search: Annotated[str, typer.Argument(help="Show only what contains this.")] = "") -> None:
    """List the families of models and the catalogue. With mteb:NAME, mteb's models whose name contains NAME."""
    from rich.console import Console

    from evalkit.cli._listings import catalogue_table, family_table, registry_table
    from evalkit.reporting.terminal import print_tables

    if search.startswith("mteb:"):
        from evalkit.models.mteb_registry import search_models

        name = search.removeprefix("mteb:")
        print_tables([registry_table(search_models(name), name)], Console())
    else:
        print_tables([family_table(search), catalogue_table(search)], Console())


def tasks(search: Annotated[str, typer.Argument(help="Show only what contains this.")] = "") -> None:
    """List the tasks that can be named. They are the bundled ones, and those in $EVALKIT_DATA."""
    from rich.console import Console

    from evalkit.cli._listings import task_table
    from evalkit.reporting.terminal import print_tables

    print_tables([task_table(search)], Console())
