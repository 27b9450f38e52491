"""The command line: parse, call, exit code. Heavy modules are imported by the command that needs them."""

import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer

from evalkit.commands import gate
from evalkit.errors import EvalkitError

if TYPE_CHECKING:
    from evalkit.config import RunConfig
    from evalkit.results import Results

EXIT_FAILED_CELLS = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
SKIPPED_SHOWN = 20

TrustRemoteCode = Annotated[
    bool | None, typer.Option("--trust-remote-code", help="Run the code that model repositories bring.")
]
AllowPickle = Annotated[
    bool | None, typer.Option("--allow-pickle", help="Read pickled weights, where there are no safetensors.")
]

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Pick, compare and regression-test embedding models and rerankers, on your own data.",
)


@app.command()
def run(
    suite: Annotated[
        str | None,
        typer.Argument(help="YAML file with the keys below, or a bundled suite; options win over it."),
    ] = None,
    models: Annotated[str | None, typer.Option(help="Specs or catalogue names, comma-separated.")] = None,
    tasks: Annotated[str | None, typer.Option(help="Task names, paths or mteb:NAME, comma-separated.")] = None,
    rerankers: Annotated[str | None, typer.Option(help="Rerankers; 'none' always takes part.")] = None,
    top_k: Annotated[str | None, typer.Option(help="Ranks that metrics are cut at, e.g. 5 or 1,5,10.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Documents reranked; default twice the top k.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    engine: Annotated[str | None, typer.Option(help="local, or ray: models run on the workers of a cluster.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw; default 0.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="A seeded sample, for a quick look.")] = None,
    on_bad_data: Annotated[str | None, typer.Option(help="error, or warn to use faulty data.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of what was computed before.")] = None,
    no_store: Annotated[bool | None, typer.Option("--no-store", help="Compute everything, keep nothing.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="USD that models behind paid APIs may cost in all.")] = None,
    time_limit: Annotated[float | None, typer.Option(help="Seconds for loading a model, and for a cell.")] = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; default reports/latest.")] = None,
    published: Annotated[Path | None, typer.Option(help="CSV of published figures, shown beside your own.")] = None,
    report: Annotated[bool, typer.Option("--report", help="Write report.html too; needs evalkit[report].")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and what it costs.")] = False,
) -> None:
    """Run models on tasks, rerankers behind them, and write the leaderboards."""
    asked = locals().items()
    given = {key: value for key, value in asked if key not in ("suite", "report", "dry_run") and value is not None}
    from rich.console import Console

    from evalkit.config import read_config, read_suite
    from evalkit.pipeline import Interrupted, run_config
    from evalkit.report.tables import make_tables
    from evalkit.report.terminal import print_tables
    from evalkit.report.write import REPORT

    keys = {"out": Path("reports/latest"), **(read_suite(suite) if suite else {}), **given}
    config = read_config(keys)
    if dry_run:
        _show_plan(config)
        return
    if report:
        from evalkit.report.html import require_report, write_report

        require_report()
    try:
        results = run_config(config)
    except Interrupted as interrupted:
        _show_partial(interrupted.results, config.out)
    if report and config.out:
        write_report({config.out.resolve().name: results}, config.out / REPORT)
    print_tables(make_tables(results), Console())
    typer.echo(
        f"Written to {config.out}: leaderboard.md, leaderboard.csv, scores.csv, results.parquet, run.json, evidence"
        + (f", {REPORT}" if report else "")
    )
    if config.no_store is False:
        reused, computed = results.provenance["reused"], results.provenance["computed"]
        typer.echo(f"Store: {reused} texts and pairs were there, {computed} were computed.")
    if results.failures:
        typer.echo(f"{len(results.failures)} cell(s) failed; the reasons are in the last table.", err=True)
        raise typer.Exit(EXIT_FAILED_CELLS)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that runs were written to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="HTML file to write.")] = Path("report.html"),
) -> None:
    """Write one HTML file on one or several runs, to read in a browser, without a network."""
    from evalkit.report.html import write_report
    from evalkit.results import Results

    write_report({name: Results.read(folder) for name, folder in _named(runs).items()}, out)
    typer.echo(f"Written to {out} ({out.stat().st_size / 1e6:.1f} MB).")


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Folder of the run before.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Folder of the run after.")],
    pair: gate.Pairs = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write too: .md or .html.")] = None,
) -> None:
    """Say what changed from one run to another: scores with paired intervals, queries, inputs."""
    from rich.console import Console

    from evalkit.report.changes import change_tables, changes_to_markdown, headline
    from evalkit.report.html.changes import write_changes
    from evalkit.report.terminal import print_tables
    from evalkit.results import Results
    from evalkit.results.changes import compare_runs

    if out is not None and out.suffix not in (".md", ".html"):
        raise typer.BadParameter(f"{out}: the file's name must end in .md or .html.")
    names = list(_named([run_a, run_b]))
    name_a, name_b = names if len(names) == 2 else (names[0], names[0])
    before, after = Results.read(run_a), Results.read(run_b)
    changes = compare_runs(before, after, dict(map(gate.old_and_new, pair or ())))
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


app.command()(gate.baseline)
app.command()(gate.gate)


@app.command()
def pick(
    documents: Annotated[Path, typer.Argument(help="Folder of txt, md, html, pdf and docx files.")],
    models: Annotated[
        str | None, typer.Option(help="Specs or names, comma-separated; default: what is free and here.")
    ] = None,
    questions: Annotated[
        Path | None,
        typer.Option(help="CSV or JSONL: question, and passage, quote or file; default: made from the documents."),
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(help="Language model that writes the questions: llamaindex:MODULE.CLASS?argument=value."),
    ] = None,
    passages: Annotated[int, typer.Option(help="Passages that it writes questions on.")] = 50,
    rerankers: Annotated[str | None, typer.Option(help="Rerankers; 'none' always takes part.")] = None,
    chunk_size: Annotated[str, typer.Option(help="Tokens a chunk, comma-separated, or whole.")] = "512",
    chunk_overlap: Annotated[str, typer.Option(help="Tokens that chunks share, comma-separated.")] = "64",
    require: Annotated[str, typer.Option(help="Such as 'latency_p95<50ms, dim<=512, licence~apache|mit'.")] = "",
    margin: Annotated[float, typer.Option(help="What a cheaper choice may be worse by, a fraction.")] = 0.02,
    metric: Annotated[str | None, typer.Option(help="Default: hit_rate at the largest k.")] = None,
    hybrid: Annotated[bool, typer.Option(help="Fuse each embedder with BM25, by ranks and by scores.")] = True,
    budget: Annotated[str | None, typer.Option(help="Time, such as 10m: choices are cut on samples to fit.")] = None,
    top_k: Annotated[str | None, typer.Option(help="Ranks that metrics are cut at, e.g. 5 or 1,5,10.")] = None,
    candidates: Annotated[int | None, typer.Option(help="Documents reranked; default twice the top k.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16 or float16.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of every random draw; default 0.")] = None,
    max_queries: Annotated[int | None, typer.Option(help="A seeded sample, for a quick look.")] = None,
    store: Annotated[Path | None, typer.Option(help="Folder of what was computed before.")] = None,
    max_cost: Annotated[float | None, typer.Option(help="USD that models behind paid APIs may cost in all.")] = None,
    trust_remote_code: TrustRemoteCode = None,
    allow_pickle: AllowPickle = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("reports/pick"),
    report: Annotated[bool, typer.Option("--report", help="Write report.html into it too.")] = False,
) -> None:
    """From a folder of your documents to a choice of model, reranker and chunking."""
    not_keys = ("documents", "chunk_size", "chunk_overlap", "budget", "report")
    keys = {key: value for key, value in locals().items() if value is not None and key not in (*not_keys, "not_keys")}
    from rich.console import Console
    from rich.markdown import Markdown

    from evalkit.picking import pick as run_pick
    from evalkit.pipeline import Interrupted
    from evalkit.report.chunkings import chunking_table
    from evalkit.report.recommendation import to_text
    from evalkit.report.tables import make_tables
    from evalkit.report.terminal import print_tables
    from evalkit.report.write import REPORT
    from evalkit.store.amounts import parse_age

    if report:
        from evalkit.report.html import require_report, write_report

        require_report()
    console = Console()
    seconds = None if budget is None else parse_age(budget).total_seconds()
    sizes = None if chunk_size.strip() == "whole" else _whole_numbers(chunk_size, "--chunk-size")
    try:
        picked = run_pick(
            documents,
            chunk_size=sizes,
            chunk_overlap=_whole_numbers(chunk_overlap, "--chunk-overlap"),
            budget=seconds,
            **keys,
        )
    except Interrupted as interrupted:
        _show_partial(interrupted.results, out)
    if report:
        write_report({out.resolve().name: picked.results}, out / REPORT)
    tables = make_tables(picked.results)
    if picked.recommendation.choice is not None:
        k = max(picked.results.provenance["top_k"])
        tables = [*tables, chunking_table(picked.chunkings, picked.recommendation.choice, k)]
    print_tables(tables, console)
    console.print(Markdown(to_text(picked.recommendation, picked.results)))
    skipped = picked.results.provenance["pick"]["documents"]["skipped"]
    if skipped:
        typer.echo(f"{len(skipped)} file(s) were not read (run.json names all, with the reasons):", err=True)
    for each in skipped[:SKIPPED_SHOWN]:
        typer.echo(f"  {each['name']}: {each['reason']}", err=True)
    for reason in picked.results.provenance["pick"]["why_these_models"]:
        typer.echo(reason)
    _tell_questions(picked.results.provenance["pick"]["questions"], out)
    typer.echo(f"Written to {out}: recommendation.md (with the code for it), leaderboard.md, chunkings.csv and more")
    if picked.results.failures:
        typer.echo(f"{len(picked.results.failures)} cell(s) failed; the reasons are in the last table.", err=True)
        raise typer.Exit(EXIT_FAILED_CELLS)


def _tell_questions(questions: Mapping[str, Any], out: Path) -> None:
    if questions["origin"] == "given":
        return
    dropped = sum(questions["drops"].values())
    why = "; ".join(f"{number} {reason}" for reason, number in questions["drops"].items())
    typer.echo(
        f"{questions['count']} questions, {questions['origin']}; left out: {dropped}{f' ({why})' if why else ''}."
    )
    if "edited" in questions:
        changes = ", ".join(f"{number} {what}" for what, number in questions["edited"].items())
        typer.echo(f"They are used as they were edited: {changes}.")
    typer.echo(f"The questions are in {out}/questions.jsonl: edit them, and the next pick uses them as they are.")


def _whole_numbers(text: str, option: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(
            f"{option} {text!r}: whole numbers of tokens, comma-separated, such as 256,512."
        ) from None


def _show_partial(results: "Results", out: Path | None) -> NoReturn:
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


def _show_plan(config: "RunConfig") -> None:
    from rich.console import Console

    from evalkit.pipeline import plan_config
    from evalkit.report.plan import plan_tables
    from evalkit.report.terminal import print_tables

    plan = plan_config(config)
    console = Console()
    if plan.description:
        console.print(plan.description.strip(), markup=False, highlight=False)
    print_tables(plan_tables(plan), console)
    if any(model.problem for model in plan.models):
        raise typer.Exit(EXIT_FAILED_CELLS)


@app.command()
def models(search: Annotated[str, typer.Argument(help="Show only what contains this.")] = "") -> None:
    """List the families of models and the catalogue; with mteb:NAME, mteb's models whose name contains NAME."""
    from rich.console import Console

    from evalkit.report.listings import catalogue_table, family_table, registry_table
    from evalkit.report.terminal import print_tables

    if search.startswith("mteb:"):
        from evalkit.mteb.registry import search_models

        name = search.removeprefix("mteb:")
        print_tables([registry_table(search_models(name), name)], Console())
    else:
        print_tables([family_table(search), catalogue_table(search)], Console())


@app.command()
def tasks(search: Annotated[str, typer.Argument(help="Show only what contains this.")] = "") -> None:
    """List the tasks that can be named: the bundled ones, and those in $EVALKIT_DATA."""
    from rich.console import Console

    from evalkit.report.listings import task_table
    from evalkit.report.terminal import print_tables

    print_tables([task_table(search)], Console())


export_app = typer.Typer(no_args_is_help=True, help="Write what other tools read.")
app.add_typer(export_app, name="export")
import_app = typer.Typer(no_args_is_help=True, help="Read published results of another tool.")
app.add_typer(import_app, name="import")


@export_app.command("mteb")
def export_mteb(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a run was written to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files: a cache of mteb's results.")],
) -> None:
    """Write a run's scores as result files of mteb."""
    from evalkit.mteb.export import export_results
    from evalkit.results import Results

    written = export_results(Results.read(run_folder), out)
    typer.echo(f"{len(written)} result file(s) written under {out}.")


@export_app.command("llamaindex")
def export_llamaindex(
    task: Annotated[str, typer.Argument(help="A retrieval task: a name or path.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file to write.")],
    on_bad_data: Annotated[str, typer.Option(help="error, or warn to use faulty data.")] = "error",
) -> None:
    """Write a retrieval task as a LlamaIndex EmbeddingQAFinetuneDataset."""
    from evalkit.suite import load_task
    from evalkit.suite.checks import OnBadData
    from evalkit.suite.writing import write_qa_dataset
    from evalkit.types import RetrievalTask

    loaded = load_task(task, on_bad_data=cast(OnBadData, on_bad_data))
    if not isinstance(loaded, RetrievalTask):
        raise typer.BadParameter(f"{task!r} is a task of sentence pairs; this format holds retrieval tasks.")
    lost = write_qa_dataset(loaded, out)
    typer.echo(f"Written to {out}: {len(loaded.queries)} queries, {len(loaded.corpus)} documents.")
    if lost:
        typer.echo(f"The format has no grades: {lost} judgements had one other than 1 and are now just relevant.")
    if loaded.excluded:
        typer.echo(f"Left out: {loaded.excluded} queries without a relevant document.")


@import_app.command("mteb")
def import_mteb(
    path: Annotated[Path, typer.Argument(help="A result file of mteb, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file for the scores.")],
) -> None:
    """Write the scores in mteb's result files as published figures (CSV)."""
    from evalkit.mteb.published import read_published

    published = read_published(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    published.to_csv(out, index=False, lineterminator="\n")
    typer.echo(f"{len(published)} scores of {published['model'].nunique()} model(s) written to {out}.")


store_app = typer.Typer(no_args_is_help=True, help="Look after the store of vectors and pair scores.")
app.add_typer(store_app, name="store")
StorePath = Annotated[Path | None, typer.Option("--store", help="Default: the user's cache folder.")]


@store_app.command("ls")
def store_ls(store: StorePath = None) -> None:
    """List the tables: model, rows, size, last use."""
    from rich.console import Console

    from evalkit.report.listings import store_table
    from evalkit.report.terminal import print_tables
    from evalkit.store import Store, default_root

    root = store or default_root()
    print_tables([store_table(f"Store: {root}", Store(root).ls())], Console())


@store_app.command("verify")
def store_verify(store: StorePath = None) -> None:
    """Check every row; remove altered ones and set unreadable tables aside. Exit status 1 if there were any."""
    from evalkit.store import Store, default_root

    damaged = False
    opened = Store(store or default_root())
    for info, finding in opened.verify():
        typer.echo(f"{info.kind} of {info.model} ({info.path.name[:12]}…): {finding}")
        damaged |= finding != "sound"
    for folder in opened.other_versions():
        typer.echo(f"{folder} is of another version of evalkit and is not read. Delete it if you have no use for it.")
    if damaged:
        raise typer.Exit(EXIT_FAILED_CELLS)


@store_app.command("prune")
def store_prune(
    store: StorePath = None,
    older_than: Annotated[str | None, typer.Option(help="Not used for so long: 30d, 12h.")] = None,
    model: Annotated[str | None, typer.Option(help="Only models whose name contains this.")] = None,
    max_size: Annotated[str | None, typer.Option(help="Keep at most so much, last used first: 500MB, 5GB.")] = None,
) -> None:
    """Remove tables by age, model or total size."""
    from evalkit.store import Store, default_root
    from evalkit.store.amounts import parse_age, parse_size

    if older_than is None and model is None and max_size is None:
        raise typer.BadParameter("say what to remove: --older-than, --model or --max-size.")
    removed = Store(store or default_root()).prune(
        parse_age(older_than) if older_than else None, model, parse_size(max_size) if max_size else None
    )
    for info in removed:
        typer.echo(f"removed {info.kind} of {info.model}: {info.rows} rows, {info.bytes / 1e6:.1f} MB")


def main() -> None:
    """Entry point: an error that evalkit raised on purpose is one message and exit status 2."""
    warnings.showwarning = _show_warning  # type: ignore[assignment]
    try:
        app()
    except EvalkitError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(EXIT_USAGE)


def _show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    typer.echo(f"{'warning' if issubclass(category, UserWarning) else category.__name__}: {message}", err=True)
