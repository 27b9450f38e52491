"""`evalkit questions`: make, show and check a set of questions on a folder of documents, without a run."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

if TYPE_CHECKING:
    from evalkit.picking.documents import Folder
    from evalkit.picking.questions import Checked, Question, QuestionSet

EXIT_WRONG = 1
MADE = Path("questions.csv")
SHOWN = 20
"""Questions that the terminal shows, and files that were not read."""
ANSWER_SHOWN = 80
"""Characters of an answer that the terminal shows."""


def questions(
    documents: Annotated[Path, typer.Argument(help="Folder of documents, as `evalkit pick` reads it.")],
    include: Annotated[str, typer.Option(help="Read these as text too, such as '*.log,*.tex'.")] = "",
    fields: Annotated[
        str, typer.Option(help="Fields of tables that are read, comma-separated; default: all with letters.")
    ] = "",
    given: Annotated[
        Path | None, typer.Option("--questions", help="Table of questions to check; default: they are made.")
    ] = None,
    llm: Annotated[
        str | None,
        typer.Option(help="Language model that writes them: auto, seq2seq:PATH, llamaindex:MODULE.CLASS?…."),
    ] = None,
    passages: Annotated[int, typer.Option(help="Passages that it writes questions on.")] = 50,
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Table to write, .csv or .jsonl; questions.csv if they are made."),
    ] = None,
) -> None:
    """Make, show and check questions about documents. Exit status 1: a pick would refuse one."""
    from evalkit.errors import ConfigError
    from evalkit.picking.documents import read_folder
    from evalkit.picking.questions import check_questions, write_questions
    from evalkit.picking.questions.kept import get_questions

    if given is not None and out is not None and out.exists():
        raise ConfigError(f"{out} is there, and is not written over. Choose another --out.")
    folder = read_folder(documents, include=include, fields=fields)
    made = out or MADE
    # What was made before may have been edited since.
    table = made if given is None else given
    checked = check_questions(table, folder) if given is not None or made.is_file() else []
    wrong = _tell_checked(checked, table)
    if not wrong:
        found = get_questions(folder, given, llm, passages=passages, seed=seed, path=made)
        if given is not None and out is not None:
            write_questions(found, folder, out)
        _show(found, folder)
        _tell_set(found, folder)
        if given is None or out is not None:
            typer.echo(f"They are in {made}: edit it, and give it to `evalkit pick` with --questions.")
    if folder.skipped:
        names = ", ".join(f"{each.name} ({each.reason})" for each in folder.skipped[:SHOWN])
        typer.echo(f"{len(folder.skipped)} file(s) were not read: {names}", err=True)
    raise typer.Exit(EXIT_WRONG if wrong else 0)


def _tell_checked(checked: "list[Checked]", table: Path) -> int:
    """Say what is wrong and what is doubtful, row by row; return how many rows are wrong."""
    for row in checked:
        if row.wrong or row.doubtful:
            typer.echo(f"{table.name}, {row.place}: {row.question}")
        for fault in row.wrong:
            typer.echo(f"  wrong: {fault}")
        for doubt in row.doubtful:
            typer.echo(f"  doubtful: {doubt}")
    wrong = sum(bool(row.wrong) for row in checked)
    if checked:
        doubtful = sum(bool(row.doubtful) for row in checked)
        typer.echo(
            f"{len(checked)} row(s): {wrong} wrong, which a pick refuses; {doubtful} doubtful, which it takes."
        )
    return wrong


def _show(found: "QuestionSet", folder: "Folder") -> None:
    """Show the first questions, with their kinds and what answers them."""
    from rich.console import Console

    from evalkit.reporting.table import Table, TableCell
    from evalkit.reporting.terminal import print_tables

    texts = {file.name: file.text for file in folder.files}
    everything = (*found.questions, *found.unanswerable)
    rows = tuple(
        tuple(map(TableCell, (each.text, each.tags.get("kind", ""), _answer(each, texts))))
        for each in everything[:SHOWN]
    )
    more = len(everything) - len(rows)
    note = f"And {more} more." if more else ""
    print_tables([Table("Questions", ("Question", "Kind", "Answered by"), rows, note, 3)], Console())


def _answer(question: "Question", texts: dict[str, str]) -> str:
    """Return the first place that answers a question: a file, and the words if they are not all of it."""
    if not question.spans:
        return "nothing in the documents"
    span, more = question.spans[0], len(question.spans) - 1
    words = " ".join(texts[span.file][span.start : span.end].split())
    if span.end - span.start == len(texts[span.file]):
        words = "all of it"
    elif len(words) > ANSWER_SHOWN:
        words = f"{words[:ANSWER_SHOWN]}…"
    return f"{span.file}: {words}" + (f" (and in {more} more place(s))" if more else "")


def _tell_set(found: "QuestionSet", folder: "Folder") -> None:
    """Say how many questions there are of each kind, how near they are to their answers, what was left out."""
    from evalkit.picking.documents import Chunking, split
    from evalkit.picking.questions import searched, with_overlap
    from evalkit.picking.questions.overlap import TAG, told

    kinds = Counter(each.tags["kind"] for each in found.questions if "kind" in each.tags)
    of_kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    typer.echo(f"{len(found.questions)} question(s), {found.origin}{f': {of_kinds}' if of_kinds else ''}.")
    if found.unanswerable:
        typer.echo(f"{len(found.unanswerable)} more have no answer in the documents; a pick does not score them.")
    if found.drops:
        why = "; ".join(f"{number} {reason}" for reason, number in found.drops.items())
        typer.echo(f"Left out: {sum(found.drops.values())} ({why}).")
    if found.questions:
        documents, asked = searched(folder, found)
        share = with_overlap(asked, split(documents, Chunking(512, 64))).provenance[TAG]
        typer.echo(told(cast(float, share)))
    if not found.origin.decides:
        typer.echo("No model is recommended by such questions: write your own, or let a language model write some.")
