"""Commands share exit statuses, options, amounts as people write them, and what ends a run early."""

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from evalkit.errors import ConfigError

if TYPE_CHECKING:
    from evalkit.reporting.write import Reports
    from evalkit.results import Results
    from evalkit.runner.run import Interrupted

EXIT_FAILED_CELLS = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

Rerankers = Annotated[str | None, typer.Option(help="Rerankers; 'none' always takes part.")]
Metrics = Annotated[
    str | None, typer.Option(help="What is computed, e.g. nDCG@10,AP,spearman(dot), the main one first.")
]
MainMetric = Annotated[str | None, typer.Option(help="What tasks that have it are ranked by.")]
TopK = Annotated[str | None, typer.Option(help="Ranks that metrics are cut at, e.g. 5 or 1,5,10.")]
Candidates = Annotated[int | None, typer.Option(help="Documents reranked; default twice the top k.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")]
Seed = Annotated[int | None, typer.Option(help="Of every random draw; default 0.")]
MaxQueries = Annotated[int | None, typer.Option(help="A seeded sample, for a quick look.")]
OnBadData = Annotated[str | None, typer.Option(help="error, or warn to use faulty data.")]
MaxCost = Annotated[float | None, typer.Option(help="USD that models behind paid APIs may cost in all.")]
TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run the code that model repositories bring.")
]
AllowPickle = Annotated[
    bool | None, typer.Option("--allow-pickle", help="Read pickled weights, where there are no safetensors.")
]
StorePlace = Annotated[
    str | None, typer.Option("--store", help="What was computed before: a folder, or s3://bucket/folder.")
]


def exit_if_cells_failed(results: "Results", reasons: str = "the last table") -> None:
    """If any cell of a run failed, say so and where the `reasons` are, and end with exit status 1."""
    if results.failures:
        typer.echo(f"{len(results.failures)} cell(s) failed; the reasons are in {reasons}.", err=True)
        raise typer.Exit(EXIT_FAILED_CELLS)


TERMINAL = "the tables on the terminal"


def print_run(reports: "Reports") -> None:
    """Show the tables of a run on the terminal."""
    from rich.console import Console

    from evalkit.reporting.terminal import print_tables

    reports.make(TERMINAL, lambda: print_tables(reports.tables, Console()))


def exit_if_reports_failed(reports: "Reports", out: Path) -> None:
    """If something could not be made of the results, say what, why and how to make it, and end with exit status 1."""
    from evalkit.reporting.write import failed_in_words

    if reports.failed:
        typer.echo(f"error: {failed_in_words(reports.failed, out)}", err=True)
        raise typer.Exit(EXIT_INTERRUPTED if reports.interrupted else EXIT_FAILED_CELLS)


def show_partial(interrupted: "Interrupted", out: Path) -> NoReturn:
    """Show the tables of an interrupted run, say what is in the folder, and end with exit status 130."""
    from evalkit.reporting.write import Reports, failed_in_words

    results = interrupted.results
    reports = Reports(results, interrupted.failed)
    print_run(reports)
    if reports.failed:
        typer.echo(f"error: {failed_in_words(reports.failed, out)}", err=True)
    if results.missing:
        typer.echo(f"Interrupted. A partial leaderboard is in {out}.", err=True)
    elif not reports.failed:
        typer.echo(
            f"Interrupted while it was measured what the choices cost. All scores are in {out}, and what was "
            "measured: the same command goes on from there.",
            err=True,
        )
    raise typer.Exit(EXIT_INTERRUPTED)


_AGES = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_TIMES = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_SIZES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_age(text: str) -> timedelta:
    """Return a number of days (d), hours (h) or minutes (m). Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dhm])", text)
    if not found:
        raise ConfigError(f"an age is a number and d, h or m, such as 30d; got {text!r}")
    return float(found[1]) * _AGES[found[2]]


def parse_budget(text: str) -> timedelta:
    """Return a time to spend: a number of hours (h), minutes (m) or seconds (s), above 0. Raises ConfigError
    otherwise.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([hms])", text.strip())
    if not found or not float(found[1]):
        raise ConfigError(f"a budget is a time above 0, a number and h, m or s, such as 10m; got {text!r}")
    return float(found[1]) * _TIMES[found[2]]


def parse_size(text: str) -> int:
    """Return bytes from a number of KB, MB, GB or TB (powers of 1000). Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]B)", text, re.IGNORECASE)
    if not found:
        raise ConfigError(f"a size is a number and KB, MB, GB or TB, such as 5GB; got {text!r}")
    return int(float(found[1]) * _SIZES[found[2].upper()])
