"""`evalkit run`: models on tasks, rerankers behind them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.commands.shared import (
    EXIT_FAILED_CELLS,
    AllowPickle,
    Candidates,
    Device,
    Dtype,
    MainMetric,
    MaxCost,
    MaxQueries,
    Metrics,
    OnBadData,
    Rerankers,
    Seed,
    StorePlace,
    TopK,
    TrustRemoteCode,
    exit_if_cells_failed,
    exit_if_reports_failed,
    print_run,
    show_partial,
)

if TYPE_CHECKING:
    from evalkit.runner.config import RunConfig


def run(
    suite: Annotated[
        str | None,
        typer.Argument(help="YAML file with the keys below, or a bundled suite; options win over it."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Specs or catalogue names, comma-separated.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Task names, paths or mteb:NAME, comma-separated.")] = None,
    rerankers: Rerankers = None,
    top_k: TopK = None,
    metrics: Metrics = None,
    main_metric: MainMetric = None,
    candidates: Candidates = None,
    device: Device = None,
    dtype: Dtype = None,
    engine: Annotated[str | None, typer.Option(help="local, or ray: models run on the workers of a cluster.")] = None,
    seed: Seed = None,
    max_queries: MaxQueries = None,
    on_bad_data: OnBadData = None,
    store: StorePlace = None,
    no_store: Annotated[bool | None, typer.Option("--no-store", help="Compute everything, keep nothing.")] = None,
    max_cost: MaxCost = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for loading a model, and for a cell.")] = None,
    measure: Annotated[bool | None, typer.Option("--measure", help="Measure latency, memory and more.")] = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default reports/latest.")] = None,
    published: Annotated[Path | None, typer.Option(help="CSV of published figures, shown beside your own.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html too; needs the extra report.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and what it costs.")] = False,
) -> None:
    """Run models on tasks, with rerankers, and write leaderboards."""
    asked = locals().items()
    given = {key: value for key, value in asked if key not in ("suite", "report", "dry_run") and value is not None}
    from evalkit.errors import ReportError
    from evalkit.reporting.write import REPORT, Reports
    from evalkit.runner.config import over_suite, read_config, read_suite
    from evalkit.runner.run import Interrupted, run_config

    keys = over_suite(read_suite(suite) if suite else {}, given)
    folder = Path(keys.get("out") or "reports/latest")
    config = read_config({**keys, "out": folder})
    if report:
        from evalkit.reporting.html import require_report, write_report

        require_report()
    if dry_run:
        _show_plan(config)
        return
    try:
        reports = Reports(run_config(config))
    except Interrupted as interrupted:
        show_partial(interrupted, folder)
    except ReportError as error:
        reports = Reports(error.results, error.failed)
    results = reports.results
    if report:
        reports.make(REPORT, lambda: write_report({folder.resolve().name: results}, folder / REPORT))
    print_run(reports)
    exit_if_reports_failed(reports, folder)
    typer.echo(
        f"Written to {folder}: leaderboard.md, leaderboard.csv, scores.csv, results.parquet, run.json, evidence"
        + (f", {REPORT}" if report else "")
    )
    if config.no_store is False:
        reused, computed = results.provenance["reused"], results.provenance["computed"]
        typer.echo(f"Store: {reused} texts and pairs were there, {computed} were computed.")
    exit_if_cells_failed(results)


def _show_plan(config: "RunConfig") -> None:
    """Print the plan as far as there is one, and end as the run would: with what it refuses, or cells that fail."""
    from rich.console import Console

    from evalkit.errors import EvalkitError
    from evalkit.reporting.terminal import print_tables
    from evalkit.runner.plan_tables import plan_tables
    from evalkit.runner.run import plan_config, refusal

    refused = refusal(config)
    try:
        plan = plan_config(config)
    except EvalkitError as error:
        raise (refused or error) from None
    console = Console()
    if plan.description:
        console.print(plan.description.strip(), markup=False, highlight=False)
    print_tables(plan_tables(plan), console)
    if refused is not None:
        raise refused
    if any(model.problem for model in plan.models):
        raise typer.Exit(EXIT_FAILED_CELLS)
