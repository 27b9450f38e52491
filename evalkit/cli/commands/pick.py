"""`evalkit pick`: from a folder of documents to a choice."""

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.cli.commands.shared import (
    AllowPickle,
    Candidates,
    Device,
    Dtype,
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
    from evalkit.picking.pick import Expected, Pick
    from evalkit.results import Results


def pick(
    documents: Annotated[
        str, typer.Argument(help="Folder of documents (formats: docs/how/documents.md), or a judged task.")
    ],
    include: Annotated[str | None, typer.Option(help="Read these as text too, such as '*.log,*.tex'.")] = None,
    fields: Annotated[
        str | None, typer.Option(help="Fields of tables that are read, comma-separated; default: all with letters.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Specs or names, comma-separated; default: what is free and here.")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(help="CSV or JSONL: question, and passage, quote or file; default: made from the documents."),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(help="Language model that writes questions: auto, seq2seq:PATH, llamaindex:MODULE.CLASS?…."),
    ] = None,
    passages: Annotated[int, typer.Option(help="Passages that it writes questions on.")] = 50,
    rerankers: Rerankers = None,
    chunk_size: Annotated[str, typer.Option(help="Tokens a chunk, comma-separated, or whole.")] = "512",
    chunk_overlap: Annotated[str, typer.Option(help="Tokens that chunks share, comma-separated.")] = "64",
    chunker: Annotated[
        str,
        typer.Option(help="sentence, markdown, headings, semantic?model=SPEC, hierarchical, late; comma-separated."),
    ] = "sentence",
    context_tokens: Annotated[
        int | None, typer.Option(help="Tokens handed on, at which chunks are compared; default 2000.")
    ] = None,
    require: Annotated[str, typer.Option(help="Such as 'latency_p95<50ms, dim<=512, licence~apache|mit'.")] = "",
    margin: Annotated[float, typer.Option(help="What a cheaper choice may be worse by, a fraction.")] = 0.02,
    metric: Annotated[str | None, typer.Option(help="What decides; default: hit_rate at the largest k.")] = None,
    hybrid: Annotated[bool, typer.Option(help="Fuse each embedder with BM25, by ranks and by scores.")] = True,
    budget: Annotated[str | None, typer.Option(help="Time, such as 10m: what does not fit is cut.")] = None,
    measure_queries: Annotated[int, typer.Option(help="Queries that are timed at most, for each choice.")] = 50,
    measure_seconds: Annotated[float, typer.Option(help="Seconds that each stage is timed for, about.")] = 5.0,
    top_k: TopK = None,
    metrics: Metrics = None,
    candidates: Candidates = None,
    device: Device = None,
    dtype: Dtype = None,
    seed: Seed = None,
    max_queries: MaxQueries = None,
    on_bad_data: OnBadData = None,
    store: StorePlace = None,
    max_cost: MaxCost = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reports/pick"),
    report: Annotated[bool, typer.Option("--report", help="Write report.html into it too.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Print all tables, and what was left out.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell how long it would take, and end.")] = False,
) -> None:
    """Choose a model, reranker and chunking for your documents."""
    not_keys = ("documents", "chunk_size", "chunk_overlap", "budget", "report", "verbose", "dry_run")
    keys = {key: value for key, value in locals().items() if value is not None and key not in (*not_keys, "not_keys")}
    from evalkit.cli.commands.shared import parse_budget
    from evalkit.errors import ReportError
    from evalkit.picking.pick import Pick, expect
    from evalkit.picking.pick import pick as run_pick
    from evalkit.reporting.write import REPORT, Reports
    from evalkit.runner.run import Interrupted

    if report:
        from evalkit.reporting.html import require_report, write_report

        require_report()
    picked: Pick | Results
    failed: Mapping[str, str] = {}
    seconds = None if budget is None else parse_budget(budget).total_seconds()
    keys["chunk_size"] = None if chunk_size.strip() == "whole" else _whole_numbers(chunk_size, "--chunk-size")
    keys["chunk_overlap"] = _whole_numbers(chunk_overlap, "--chunk-overlap")
    if dry_run:
        _print_expected(expect(documents, **keys))
        return
    try:
        picked = run_pick(documents, budget=seconds, **keys)
    except Interrupted as interrupted:
        show_partial(interrupted, out)
    except ReportError as error:
        picked, failed = error.results, error.failed
    results = picked.results if isinstance(picked, Pick) else picked
    reports = Reports(results, failed)
    if report:
        reports.make(REPORT, lambda: write_report({out.resolve().name: results}, out / REPORT))
    if verbose:
        print_run(reports)
        reports.make("the tables of the pick on the terminal", lambda: _print_tables(picked))
    made = questions is None and results.provenance["pick"]["questions"]["made"]
    _print_answer(picked, out, made)
    exit_if_reports_failed(reports, out)
    exit_if_cells_failed(results, "the tables above" if verbose else str(out / "leaderboard.md"))


def _print_expected(expected: "Expected") -> None:
    """Print what takes how long, a line a step, and all of it."""
    for step, of_step in groupby(expected.steps, key=lambda each: each[0]):
        typer.echo(f"{sum(seconds for _, seconds in of_step):8.1f} s  {step}")
    typer.echo(str(expected))


def _print_answer(picked: "Pick | Results", out: Path, made: bool) -> None:
    """Print the answer, and where the rest is, a sentence a line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    answer: list[str] = getattr(picked, "answer", [])
    for number, sentence in enumerate(answer):
        console.print(Text(sentence, "bold" if number == 0 else ""))
    edit = ", questions.jsonl (edit them)" if made else ""
    console.print(Text(f"Written to {out}: recommendation.md{edit} and more."))


def _print_tables(picked: "Pick | Results") -> None:
    """Print the chunkings, which files were not read, why these models take part, and how questions were made."""
    from rich.console import Console

    from evalkit.picking.chunkings import chunking_table
    from evalkit.picking.documents import told_tables
    from evalkit.picking.pick import Pick
    from evalkit.reporting.terminal import print_tables

    if isinstance(picked, Pick) and picked.recommendation.shown is not None:
        k = max(picked.results.provenance["top_k"])
        print_tables([chunking_table(picked.chunkings, picked.recommendation.shown, k)], Console())
    told = (picked.results if isinstance(picked, Pick) else picked).provenance["pick"]
    for each in told["documents"]["skipped"]:
        typer.echo(f"{each['name']} was not read: {each['reason']}")
    for sentence in told_tables(told["documents"]):
        typer.echo(sentence)
    for reason in told["why_these_models"]:
        typer.echo(reason)
    _tell_questions(told["questions"])


def _tell_questions(questions: Mapping[str, Any]) -> None:
    """Tell how many questions were made, what was left out, and how they were edited."""
    if not questions["made"]:
        return
    dropped = sum(questions["drops"].values())
    why = "; ".join(f"{number} {reason}" for reason, number in questions["drops"].items())
    typer.echo(
        f"{questions['count']} questions, {questions['origin']}; left out: {dropped}{f' ({why})' if why else ''}."
    )
    if "edited" in questions:
        changes = ", ".join(f"{number} {what}" for what, number in questions["edited"].items())
        typer.echo(f"They are used as they were edited: {changes}.")


def _whole_numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{option} {text!r}: whole numbers of tokens, comma-separated, such as 256,512."
        ) from None
