"""Tables of hand-made results: exact Markdown, and nothing lost on a narrow terminal."""

import re
import shutil
import subprocess
from collections import Counter
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from evalkit.reporting._significance import what_shows
from evalkit.reporting._tables import make_tables
from evalkit.reporting.table import Table, TableCell, to_latex, to_markdown
from evalkit.reporting.terminal import print_tables
from evalkit.results import Results

METRICS = ("hit_rate", "MRR", "nDCG", "R", "P", "AP")


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
    _, grid, _ = make_tables(made(GRID))
    assert (
        to_markdown([grid])
        == """\
### Grid: pets (test), at 5 over 10 candidates, 2 queries

| Embedder | no reranker: Hit Rate | no reranker: MRR | ce: Hit Rate | ce: MRR |
| --- | ---: | ---: | ---: | ---: |
| bow | 0.5000 ≈ | 0.2500 ≈ | **1.0000** ≈ | **1.0000** |
| sbert | **1.0000** | **0.6250** ≈ | **1.0000** ≈ | 0.7500 ≈ |

95 % intervals reach up to ±0.497 here (scores.csv has each): smaller gaps may be noise. ≈: cannot be told from the \
table's best by this metric (paired by query, corrected for all pairs, 5 %).
"""
    )


def test_first_stage_in_markdown():
    """Best first by nDCG; the best of a column in bold, with its interval."""
    first, *_ = make_tables(made({**GRID, ("bow", "none"): [(1, 0.5), (1, 0)]}, excluded=3))
    best, other = "**0.625 (0.005–0.998)**", "0.250 (0.047–0.453) ≈"
    assert (
        to_markdown([first])
        == f"""\
### Retrieval: pets (test), 2 queries, 9 documents

| Model | Rank | Hit Rate@5 | MRR@5 | nDCG@5 | Recall@5 |
| --- | ---: | ---: | ---: | ---: | ---: |
| sbert | 1 (1–2) | **1.000 (0.342–1.000)** ≈ | {best} | {best} | {best} |
| bow | 2 (1–2) | **1.000 (0.342–1.000)** | {other} | {other} | {other} |

In brackets: 95 % intervals. Ranked by nDCG@5. 3 more queries have no relevant document and are excluded. \
≈: cannot be told from the table's best by this metric (paired by query, corrected for all pairs, 5 %). \
Too few queries for any statement of power.
"""
    )


def test_a_table_for_each_k():
    titles = [table.title for table in make_tables(made(GRID, top_k=(1, 5)))]
    assert [title.split(":")[0] for title in titles] == 2 * ["Retrieval", "Grid", "What rerankers add"]
    assert "at 1 over" in titles[1]
    assert "at 5 over" in titles[4]


def test_a_cell_without_a_score_is_marked_failed():
    values = {key: pairs for key, pairs in GRID.items() if key != ("bow", "ce")}
    failure = {"task": "pets", "split": "test", "model": "bow", "reranker": "ce", "reason": "out | of memory"}
    _, grid, gains, failed = make_tables(made(values, failures=[failure]))
    assert "| bow | 0.5000 ≈ | 0.2500 ≈ | failed | failed |" in to_markdown([grid])
    assert [row[0].text for row in gains.rows] == ["sbert"]
    assert to_markdown([failed]) == (
        "### Failed\n\n| Model | Reranker | Task | Split | Reason |\n| --- | --- | --- | --- | --- |\n"
        "| bow | ce | pets | test | out \\| of memory |\n"
    )


def test_one_query_has_the_interval_of_one_trial():
    one = {key: pairs[:1] for key, pairs in GRID.items()}
    first, grid, gains = make_tables(made(one, queries=1))
    assert [cell.text for cell in first.rows[0]] == ["sbert", "1 (1–2)", *["1.000 (0.207–1.000)"] * 4]
    assert grid.note.startswith("95 % intervals reach up to ±0.397 here")
    assert {cell.text for row in gains.rows for cell in row[1:]} == {"–"}


def test_vocabulary_table():
    known = {"task": "pets", "split": "test", "reranker": "none"}
    cells = [
        {
            **known,
            "model": "glove",
            "oov_rate": 0.125,
            "texts_without_known_word": ["d1", "q2"],
            "texts_without_word": ["q2"],
        },
        {**known, "model": "older", "oov_rate": 0.5, "texts_without_known_word": ["d1"]},
        {**known, "model": "knows all", "oov_rate": 0.0, "texts_without_known_word": [], "texts_without_word": []},
        {**known, "model": "sbert"},
    ]
    table = make_tables(made(GRID, cells=cells))[-1]
    assert to_markdown([table]) == (
        "### Vocabulary\n\n"
        "| Model | Task | unknown words | texts without a known word | of these without any word |\n"
        "| --- | --- | ---: | ---: | ---: |\n| glove | pets (test) | 12.5 % | 2 | 1 |\n"
        "| older | pets (test) | 50.0 % | 1 | – |\n"
        "\nA query without a known word finds nothing; a transformer reads all such texts of a length alike. "
        "Without any word: empty, or of stop words alone. For a transformer, at most 10,000 documents and as many "
        "queries are looked at.\n"
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
    written = Counter(word for word in rows.split() if word[-1] in "0123456789,)")
    assert not Counter(numbers) - written


def test_terminal_shows_markup_as_it_is():
    row = (TableCell("[i]x[/i]"), TableCell("0.5"))
    shown = on_terminal([Table("[red]title[/red]", ("[b]Model[/b]", "Score"), (row,), "[u]note[/u]")])
    for text in ("[red]title[/red]", "[b]Model[/b]", "[i]x[/i]", "0.5", "[u]note[/u]"):
        assert text in shown


def test_what_rerankers_add():
    """By nDCG, per embedder and together; bold only where the gain is more than noise."""
    rng = np.random.default_rng(0)
    hits = {cell: [(1, value) for value in rng.random(200) * top] for cell, top in
            {("a", "none"): 0.5, ("b", "none"): 0.5, ("a", "ce"): 0.9, ("b", "ce"): 0.5}.items()}  # fmt: skip
    gains = next(table for table in make_tables(made(hits, queries=200)) if table.title.startswith("What"))
    assert [row[0].text for row in gains.rows] == ["a", "b", "all together"]
    assert [row[1].best for row in gains.rows] == [True, False, True]
    found = np.mean([value for _, value in hits["a", "ce"]]) - np.mean([value for _, value in hits["a", "none"]])
    assert gains.rows[0][1].text.startswith(f"{found:+.3f} (+")


def test_latex():
    """A float a table with booktabs' rules; nothing that LaTeX would read as a command."""
    row = (TableCell("a_b & 50 % {x} \\y"), TableCell("0.5", best=True, tied=True))
    assert (
        to_latex([Table("t #1 ~^$", ("Model", "±"), (row,), "≈: note")]).split("\n\n", 1)[1]
        == r"""\begin{table}
\centering
\caption{t \#1 \textasciitilde{}\textasciicircum{}\$}
\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%
\begin{tabular}{lr}
\toprule
Model & $\pm$ \\
\midrule
a\_b \& 50 \% \{x\} \textbackslash{}y & \textbf{0.5} $\approx$ \\
\bottomrule
\end{tabular}}
\par\smallskip\footnotesize $\approx$: note
\end{table}
"""
    )


def test_terminal_marks_the_best():
    console = Console(file=StringIO(), width=80, force_terminal=True, color_system="standard")
    print_tables([Table("t", ("Model", "Score"), ((TableCell("m"), TableCell("0.5", best=True)),))], console)
    assert re.search("\x1b\\[1;32m *0.5", console.file.getvalue())


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="LaTeX is not installed")
def test_latex_compiles_with_any_name(tmp_path):
    names = ["a_b%c&d#e$f", "{x}~^\\y", "<b> → c ≈ d – e × f ± g", "sbert:org/m?dim=64&precision=int8", "é ü"]
    rows = tuple((TableCell(name, best=True), TableCell("1.0 (0.9–1.1)", tied=True)) for name in names)
    wide = Table("wide_table", ("Model", *(f"column_{n}" for n in range(30))), ((TableCell("m"),) * 31,), "a_note")
    (tmp_path / "tables.tex").write_text(to_latex([Table("t_1", ("Model", "±"), rows, "≈: 5 %"), wide]), "utf-8")
    (tmp_path / "paper.tex").write_text(
        "\\documentclass{article}\\usepackage{booktabs,graphicx}\\begin{document}\\input{tables}\\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "paper"], cwd=tmp_path, capture_output=True,
        text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
    assert (tmp_path / "paper.pdf").read_bytes()[:4] == b"%PDF"


@pytest.mark.parametrize("things", ["queries", "pairs"])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_too_few_for_a_statement_of_power_is_said(n, things):
    board = pd.DataFrame({"score": [0.5, 0.4], "sd": [np.nan, np.nan if n == 1 else 0.1], "n": n})
    assert what_shows(board, things) == f"Too few {things} for any statement of power."
    assert what_shows(board.head(1), things) == ""


def test_what_a_number_of_queries_shows_is_said():
    board = pd.DataFrame({"score": [0.5, 0.4, 0.3, np.nan], "sd": [np.nan, 0.0, 0.3, np.nan], "n": [120.0] * 4})
    shown = "With 120 queries, a difference of 0.077 is found at 80 % power; one of 0.010 takes 7,066."
    assert what_shows(board) == shown
    assert what_shows(board[:2]).startswith("No difference between these cells on any of the queries")
    assert what_shows(board.assign(sd=[np.nan, 9.0, 9.0, np.nan])) == "Too few queries for any statement of power."
