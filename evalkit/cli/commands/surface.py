"""`evalkit surface`: quality against candidates, latency and bytes, from one run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.commands.shared import (
    AllowPickle,
    Device,
    Dtype,
    MainMetric,
    MaxCost,
    MaxQueries,
    Metrics,
    Rerankers,
    Seed,
    StorePlace,
    TopK,
    TrustRemoteCode,
    exit_if_cells_failed,
    exit_if_reports_failed,
    show_partial,
)

if TYPE_CHECKING:
    from evalkit.curves.surface import Surface


def surface(
    suite: Annotated[
        str | None, typer.Argument(help="YAML file with the keys of a run, or a bundled suite; options win over it.")
    ] = None,
    models: Annotated[str | None, typer.Option(help="Specs or catalogue names, comma-separated.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Task names, paths or mteb:NAME, comma-separated.")] = None,
    rerankers: Rerankers = None,
    top_k: TopK = None,
    metrics: Metrics = None,
    main_metric: MainMetric = None,
    candidates: Annotated[int | None, typer.Option(help="Documents reranked, the most; default 50.")] = None,
    depths: Annotated[str | None, typer.Option(help="Fewer candidates to tell of, such as 5,10,20.")] = None,
    dims: Annotated[str | None, typer.Option(help="Fewer dimensions; default halves, down to 64.")] = None,
    precisions: Annotated[str, typer.Option(help="Of vectors: some of these.")] = "float32,int8,binary",
    measure_queries: Annotated[int, typer.Option(help="Queries that are timed at most; 0: none.")] = 50,
    measure_seconds: Annotated[float, typer.Option(help="Seconds that each stage is timed for, about.")] = 5.0,
    device: Device = None,
    dtype: Dtype = None,
    seed: Seed = None,
    max_queries: MaxQueries = None,
    store: StorePlace = None,
    max_cost: MaxCost = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reports/surface"),
) -> None:
    """Tell what fewer candidates and smaller vectors would do."""
    keys = {key: value for key, value in locals().items() if value is not None}
    from rich.console import Console

    from evalkit.curves.surface import surface as make_surface
    from evalkit.errors import ReportError
    from evalkit.reporting.terminal import print_tables
    from evalkit.reporting.write import CURVES, POINTS, Reports
    from evalkit.runner.run import Interrupted

    try:
        made = make_surface(**keys)
        reports = Reports(made.results)
    except Interrupted as interrupted:
        show_partial(interrupted, out)
    except ReportError as error:
        made = error.results
        reports = Reports(made.results, error.failed)
    reports.make("the curves on the terminal", lambda: print_tables(made.tables, Console()))
    _tell(made)
    exit_if_reports_failed(reports, out)
    typer.echo(f"Written to {out}: {CURVES}, {POINTS} (all points), and the run with the most candidates")
    exit_if_cells_failed(made.results)


def _tell(made: "Surface") -> None:
    for sentence in (*made.knees, *made.notes):
        typer.echo(str(sentence))
