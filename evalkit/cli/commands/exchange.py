"""`evalkit export` and `evalkit import`: files of other tools."""

from pathlib import Path
from typing import Annotated, cast

import typer

export_app = typer.Typer(no_args_is_help=True, help="Write what other tools read.")
import_app = typer.Typer(no_args_is_help=True, help="Read published results of another tool.")


@export_app.command("mteb")
def export_mteb(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a run was written to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the files: a cache of mteb's results.")],
) -> None:
    """Write a run's scores as result files of mteb."""
    from evalkit.integrations.mteb.export import export_results
    from evalkit.results import Results

    written = export_results(Results.read(run_folder), out)
    typer.echo(f"{len(written)} result file(s) written under {out}.")


@export_app.command("llamaindex")
def export_llamaindex(
    task: Annotated[str, typer.Argument(help="A retrieval task: a name or path.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file to write.")],
    on_bad_data: Annotated[str, typer.Option(help="error, or warn to use faulty data.")] = "error",
) -> None:
    """Write a retrieval task for LlamaIndex. The file is an EmbeddingQAFinetuneDataset."""
    from evalkit.tasks import load_task
    from evalkit.tasks.checks import OnBadData
    from evalkit.tasks.writing import write_qa_dataset
    from evalkit.types import RetrievalTask

    loaded = load_task(task, on_bad_data=cast(OnBadData, on_bad_data))
    if not isinstance(loaded, RetrievalTask):
        raise typer.BadParameter(f"{task!r} is a task of sentence pairs; this format holds retrieval tasks.")
    lost = write_qa_dataset(loaded, out)
    typer.echo(f"Written to {out}: {len(loaded.queries)} queries, {len(loaded.corpus)} documents.")
    if lost:
        typer.echo(f"The format has no grades: {lost} judgements had one other than 1 and are now just relevant.")
    if loaded.candidates is not None:
        typer.echo("The format has no candidates: its queries search the whole corpus.")
    if loaded.excluded:
        typer.echo(f"Left out: {loaded.excluded} queries without a relevant document.")


@import_app.command("mteb")
def import_mteb(
    path: Annotated[Path, typer.Argument(help="A result file of mteb, or a folder of them.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="CSV file for the scores.")],
) -> None:
    """Write the scores in mteb's result files as published figures (CSV)."""
    from evalkit.integrations.mteb.published import read_published

    published = read_published(path)
    out.parent.mkdir(parents=True, exist_ok=True)
    published.to_csv(out, index=False, lineterminator="\n")
    typer.echo(f"{len(published)} scores of {published['model'].nunique()} model(s) written to {out}.")
