"""Tables of hand-made results: exact Markdown, and nothing lost on a narrow terminal."""

import re
from io import StringIO

import pandas as pd
import pytest
from rich.console import Console

from evalkit.report.markdown import to_markdown
from evalkit.report.table import Table, TableCell
from evalkit.report.tables import make_tables
from evalkit.report.terminal import print_tables
from evalkit.results import Results

METRICS = ("hit_rate", "mrr", "precision", "recall", "map", "ndcg")


def made(values, *, queries=2, excluded=0, failures=(), top_k=(5,), cells=()) -> Results:
    """`values` maps (model, reranker) to the hit rate and the MRR of each query; all other metrics are the MRR's."""
    rows = [
        ("pets", "test", model, reranker, f"q{row}", f"{metric}@{k}", hit if metric == "hit_rate" else mrr)
        for (model, reranker), pairs in values.items()
        for k in top_k
        for metric in METRICS
        for row, (hit, mrr) in enumerate(pairs)
    ]
    records = pd.DataFrame(rows, columns=["task", "split", "model", "reranker", "id", "metric", "value"])
    categories = {column: pd.CategoricalDtype(list(pd.unique(records[column]))) for column in records.columns[:-1]}
    task = {
        "task": "pets", "split": "test", "type": "retrieval", "documents": 9, "queries": queries,
        "excluded_queries": excluded,
    }  # fmt: skip
    return Results(
        records.astype(categories),
        {
            "seed": 0, "top_k": list(top_k), "candidates": 10, "tasks": [task], "cells": list(cells),
            "failures": list(failures),
        },
    )  # fmt: skip


GRID = {
    ("bow", "none"): [(1, 0.5), (0, 0)],
    ("sbert", "none"): [(1, 1), (1, 0.25)],
    ("bow", "ce"): [(1, 1), (1, 1)],
    ("sbert", "ce"): [(1, 1), (1, 0.5)],
}


def test_grid_in_markdown():
    """A row an embedder, Hit Rate and MRR a reranker; the best of a column in bold, ties too."""
    *_, grid = make_tables(made(GRID))
    assert (
        to_markdown([grid])
        == """\
### Grid: pets (test), at 5 over 10 candidates, 2 queries

| Embedder | no reranker: Hit Rate | no reranker: MRR | ce: Hit Rate | ce: MRR |
| --- | ---: | ---: | ---: | ---: |
| bow | 0.5000 | 0.2500 | **1.0000** | **1.0000** |
| sbert | **1.0000** | **0.6250** | **1.0000** | 0.7500 |

95 % intervals reach up to ±0.500 here (scores.csv has each): smaller gaps may be noise.
"""
    )


def test_first_stage_in_markdown():
    """Best first by nDCG; the best of a column in bold, with its interval."""
    first, _ = make_tables(made({**GRID, ("bow", "none"): [(1, 0.5), (1, 0)]}, excluded=3))
    mean = "**0.625 (0.250–1.000)**"
    assert (
        to_markdown([first])
        == f"""\
### Retrieval: pets (test), 2 queries, 9 documents

| Model | Hit Rate@5 | MRR@5 | nDCG@5 | Recall@5 |
| --- | ---: | ---: | ---: | ---: |
| sbert | **1.000 (1.000–1.000)** | {mean} | {mean} | {mean} |
| bow | **1.000 (1.000–1.000)** | 0.250 (0.000–0.500) | 0.250 (0.000–0.500) | 0.250 (0.000–0.500) |

In brackets: 95 % intervals. 3 more queries have no relevant document and are excluded.
"""
    )


def test_a_table_for_each_k():
    titles = [table.title for table in make_tables(made(GRID, top_k=(1, 5)))]
    assert [title.split(":")[0] for title in titles] == ["Retrieval", "Grid", "Retrieval", "Grid"]
    assert "at 1 over" in titles[1]
    assert "at 5 over" in titles[3]


def test_a_cell_without_a_score_is_marked_failed():
    values = {key: pairs for key, pairs in GRID.items() if key != ("bow", "ce")}
    failure = {"task": "pets", "split": "test", "model": "bow", "reranker": "ce", "reason": "out | of memory"}
    _, grid, failed = make_tables(made(values, failures=[failure]))
    assert "| bow | 0.5000 | 0.2500 | failed | failed |" in to_markdown([grid])
    assert to_markdown([failed]) == (
        "### Failed\n\n| Model | Reranker | Task | Split | Reason |\n| --- | --- | --- | --- | --- |\n"
        "| bow | ce | pets | test | out \\| of memory |\n"
    )


def test_one_query_has_no_interval():
    one = {key: pairs[:1] for key, pairs in GRID.items()}
    *_, grid = make_tables(made(one, queries=1))
    assert grid.note == "Too few queries for intervals."


def test_vocabulary_table():
    known = {"task": "pets", "split": "test", "reranker": "none"}
    cells = [
        {**known, "model": "glove", "oov_rate": 0.125, "texts_without_known_word": ["d1", "q2"]},
        {**known, "model": "knows all", "oov_rate": 0.0, "texts_without_known_word": []},
        {**known, "model": "sbert"},
    ]
    table = make_tables(made(GRID, cells=cells))[-1]
    assert to_markdown([table]) == (
        "### Vocabulary\n\n| Model | Task | unknown words | texts without a known word |\n"
        "| --- | --- | ---: | ---: |\n| glove | pets (test) | 12.5 % | 2 |\n"
    )


ESCAPES = {
    "pipe": ("a|b", r"a\|b"),
    "star": ("*x*", r"\*x\*"),
    "underscore": ("bge_m3", r"bge\_m3"),
    "angle": ("<b>", r"\<b>"),
    "backtick": ("`x`", r"\`x\`"),
    "backslash": (r"a\|b", r"a\\\|b"),
    "line end": ("two\nlines", "two lines"),
    "spec": ("glove:x?dim=8&sg=1", "glove:x?dim=8&sg=1"),
}


@pytest.mark.parametrize(("label", "written"), ESCAPES.values(), ids=ESCAPES)
def test_markdown_escapes(label, written):
    table = Table(label, ("Model", label), ((TableCell(label, best=True), TableCell("1")),))
    assert to_markdown([table]) == f"### {written}\n\n| Model | {written} |\n| --- | ---: |\n| **{written}** | 1 |\n"


def on_terminal(tables, width=80):
    console = Console(file=StringIO(), width=width, force_terminal=False)
    print_tables(tables, console)
    return console.file.getvalue()


@pytest.mark.parametrize("rerankers", [0, 1, 3, 5])
def test_terminal_shows_every_number_at_width_80(rerankers):
    """What does not fit is another part of the table, below."""
    names = ["none", "bm25", "sbert:all-MiniLM-L6-v2", "maxsim:all-MiniLM-L6-v2", "ce:x", "tfidf"][: rerankers + 1]
    models = ["word2vec:train?sg=1", "bert:all-MiniLM-L6-v2?pooling=cls"]
    cells = [(model, reranker) for model in models for reranker in names]
    tables = make_tables(made({cell: [(1, 0.5 + place / 100), (0, place / 50)] for place, cell in enumerate(cells)}))
    shown = on_terminal(tables)
    assert max(map(len, shown.splitlines())) <= 80
    rows = "\n".join(line for line in shown.splitlines() if "±" not in line)
    numbers = [number for table in tables for row in table.rows for cell in row[1:] for number in cell.text.split()]
    assert sorted(re.findall(r"\(?\d\.\d{3,}(?:–\d\.\d{3}\))?", rows)) == sorted(numbers)


def test_terminal_shows_markup_as_it_is():
    row = (TableCell("[i]x[/i]"), TableCell("0.5"))
    shown = on_terminal([Table("[red]title[/red]", ("[b]Model[/b]", "Score"), (row,), "[u]note[/u]")])
    for text in ("[red]title[/red]", "[b]Model[/b]", "[i]x[/i]", "0.5", "[u]note[/u]"):
        assert text in shown


def test_terminal_marks_the_best():
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    print_tables([Table("t", ("Model", "Score"), ((TableCell("m"), TableCell("0.5", best=True)),))], console)
    assert re.search("\x1b\\[1;32m *0.5", console.file.getvalue())
