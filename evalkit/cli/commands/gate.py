"""`evalkit baseline` and `evalkit gate`: freeze a run, and hold a later one to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from evalkit.gating.policy import Policy

SHOWN = 10
"""Queries that the terminal shows with what was retrieved."""
Pairs = Annotated[
    list[str] | None,
    typer.Option(metavar="'OLD -> NEW'", help="A model of before, and the one that took its place."),
]


def baseline(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder that a run was written to.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSON file to write.")] = Path("baseline.json"),
) -> None:
    """Freeze what a gate needs of a run. That is scores by query, provenance, and vectors of canary texts."""
    from evalkit.gating.gate import make_baseline
    from evalkit.results import Results

    made = make_baseline(Results.read(run))
    made.write(out)
    cells = sum(len(task.cells) for task in made.tasks)
    typer.echo(
        f"Written to {out} ({out.stat().st_size / 1000:.0f} kB): {cells} cell(s), canaries of {len(made.canaries)} "
        "model(s)."
    )


def gate(
    baseline: Annotated[Path, typer.Argument(metavar="BASELINE", help="What `evalkit baseline` wrote.")],
    suite: Annotated[str | None, typer.Option(help="Suite to run now: a YAML file, or a bundled one.")] = None,
    run: Annotated[Path | None, typer.Option(help="Or the folder of a run that is there already.")] = None,
    policy: Annotated[Path | None, typer.Option(help="YAML file with the keys below; options win over it.")] = None,
    margin: Annotated[float | None, typer.Option(help="Loss of a mean that is tolerated, a fraction; 0.01.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Held to it, comma-separated; default: the main one of a task.")
    ] = None,
    floor: Annotated[
        list[str] | None, typer.Option(metavar="METRIC=SCORE", help="The least that every cell must have.")
    ] = None,
    slices: Annotated[
        str | None, typer.Option(help="Tags whose values are held to a margin each, comma-separated; or length.")
    ] = None,
    slice_margin: Annotated[float | None, typer.Option(help="Of a slice; default: the margin.")] = None,
    must_pass: Annotated[
        str | None, typer.Option(help="Ids of queries that must have their answer in the first k, comma-separated.")
    ] = None,
    latency_ratio: Annotated[float | None, typer.Option(help="New over old latency, at most.")] = None,
    memory_ratio: Annotated[float | None, typer.Option(help="New over old peak memory, at most.")] = None,
    drift: Annotated[str | None, typer.Option(help="What other vectors are: fail, warn or off; fail.")] = None,
    confidence: Annotated[float | None, typer.Option(help="Of all intervals together; 0.95.")] = None,
    pair: Pairs = None,
    rechunked: Annotated[
        list[str] | None,
        typer.Option(metavar="'OLD -> NEW'", help="A task whose documents were cut anew; a name if it kept it."),
    ] = None,
    common: Annotated[bool, typer.Option("--common", help="Where data differ: compare the common queries.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="What cannot be told is no pass: status 2.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for gate.md, gate.xml and gate.json.")] = Path(
        "reports/gate"
    ),
) -> None:
    """Say yes or no to a run beside a baseline. Exit status: 0 pass, 1 regression, 2 it cannot be decided."""
    from rich.console import Console

    from evalkit.gating.gate import gate as run_gate
    from evalkit.gating.policy import read_policy
    from evalkit.gating.writing import retrieved_table, verdict_sentences, write_verdict
    from evalkit.reporting.terminal import print_tables
    from evalkit.runner.config import split_list

    held_to: Policy = read_policy(
        policy,
        margin=margin,
        metrics=split_list(metrics) if metrics is not None else None,
        floors=dict(map(_metric_and_score, floor)) if floor else None,
        slices=split_list(slices) if slices is not None else None,
        slice_margin=slice_margin,
        must_pass=split_list(must_pass) if must_pass is not None else None,
        latency_ratio=latency_ratio,
        memory_ratio=memory_ratio,
        drift=drift,
        confidence=confidence,
    )
    verdict = run_gate(
        baseline, suite=suite, run=run, policy=held_to, pairs=dict(map(old_and_new, pair or ())),
        rechunked=dict(_old_and_new_task(text) for text in rechunked or ()), common=common, strict=strict,
    )  # fmt: skip
    write_verdict(verdict, out)
    console = Console()
    print_tables(list(retrieved_table(verdict, SHOWN)), console)
    for sentence in verdict_sentences(verdict):
        console.print(sentence, markup=False, highlight=False)
    typer.echo(f"Gate: {verdict.word}. Written to {out}: gate.md, gate.xml, gate.json.")
    raise typer.Exit(verdict.status)


def old_and_new(text: str) -> tuple[str, str]:
    """Return the two labels of "OLD -> NEW". Raises BadParameter for anything else."""
    old, arrow, new = (part.strip() for part in text.partition("->"))
    if not (old and arrow and new):
        raise typer.BadParameter(f"--pair {text!r}: write 'OLD -> NEW', the labels of two models.")
    return old, new


def _old_and_new_task(text: str) -> tuple[str, str]:
    old, arrow, new = (part.strip() for part in text.partition("->"))
    if not old or bool(arrow) != bool(new):
        raise typer.BadParameter(f"--rechunked {text!r}: write 'OLD -> NEW', names of tasks or splits, or one name.")
    return old, new or old


def _metric_and_score(text: str) -> tuple[str, str]:
    metric, equals, score = (part.strip() for part in text.rpartition("="))
    if not (metric and equals and score):
        raise typer.BadParameter(f"--floor {text!r}: write METRIC=SCORE, such as hit_rate@5=0.7.")
    return metric, score
