"""A fault in a table, a page or the terminal: what was computed is written before, and the message says where."""

import os
import shutil

import pytest
from fakes import write_tasks

import evalkit as package
from evalkit.cli.commands import shared
from evalkit.errors import ConfigError, ReportError
from evalkit.reporting import html, terminal, write
from evalkit.results import Results, results
from evalkit.runner.run import Interrupted

PLACES = {
    "scores.csv": (results, "score"),
    "leaderboard.csv": (results, "against_best"),
    "leaderboard.md": (write, "to_markdown"),
    "leaderboard.tex": (write, "to_latex"),
    "report.html": (html, "write_report"),
    shared.TERMINAL: (terminal, "print_tables"),
}
"""What can fail, and the function in which it is made to."""
FILES = ("scores.csv", "leaderboard.csv", "leaderboard.md", "leaderboard.tex")


def planted(monkeypatch, name, error):
    """From now on, this raises the error; the records must be there by then."""

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(*PLACES[name], fails)


@pytest.fixture
def tasks(tmp_path):
    return write_tasks(tmp_path)[0]


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    for name in ("cats", "dogs", "fish", "birds"):
        (folder / f"{name}.txt").write_text(f"All about {name}. They are animals, and {name} eat every day. " * 5)
    asked = "".join(f"what do {name} eat,{name}.txt\n" for name in ("cats", "dogs", "fish"))
    (tmp_path / "questions.csv").write_text(f"question,file\n{asked}")
    return folder


@pytest.mark.parametrize("name", PLACES)
def test_a_fault_in_one_report_costs_that_one(name, evalkit, tasks, tmp_path, monkeypatch):
    pytest.importorskip("jinja2", reason="no extra `report`")
    out = tmp_path / "out"
    asked = ["run", "--models", "bow,tfidf", "--tasks", tasks, "--top-k", "2", "--no-store", "--out", out, "--report"]
    with monkeypatch.context() as patched:
        planted(patched, name, TypeError("a one-element array"))
        status, shown, errors = evalkit(*asked)
    assert status == 1
    assert f"the results are written to {out}" in errors
    assert f"  - {name}: TypeError: a one-element array (test_reporting.py, line " in errors
    assert "Traceback" not in errors
    found = Results.read(out)
    assert len(found.scores)
    whole = {path for path in (*FILES, "report.html") if (out / path).exists()}
    # All others are made, but for those that need the same numbers.
    assert whole == (set() if name == "scores.csv" else {*FILES, "report.html"} - {name})
    assert ("Retrieval: pets" in shown) == (name not in ("scores.csv", shared.TERMINAL))
    again = [part for part in errors.split("`") if part.startswith("evalkit report")]
    assert again
    for command in again:
        assert evalkit(*command.split()[1:])[0] == 0
    assert all((out / path).exists() for path in FILES), "made again without a model"


def test_tables_made_again_are_the_same(evalkit, tasks, tmp_path):
    package.run(models="bow,tfidf", tasks=tasks, device="cpu", no_store=True, out=tmp_path / "out")
    before = {name: (tmp_path / "out" / name).read_bytes() for name in FILES}
    for name in FILES:
        (tmp_path / "out" / name).unlink()
    assert evalkit("report", tmp_path / "out", "--tables")[0] == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in FILES} == before


def test_whoever_calls_gets_what_was_computed(tasks, tmp_path, monkeypatch):
    planted(monkeypatch, "leaderboard.tex", ValueError("no such letter"))
    with pytest.raises(ReportError, match=r"leaderboard\.tex: ValueError: no such letter") as caught:
        package.run(models="bow", tasks=tasks, device="cpu", no_store=True, out=tmp_path / "out")
    assert list(caught.value.failed) == ["leaderboard.tex"]
    assert caught.value.results.scores.equals(Results.read(tmp_path / "out").scores)


def test_records_are_there_before_any_table_is_begun(tasks, tmp_path, monkeypatch):
    out, seen = tmp_path / "out", []
    make_tables = write.make_tables

    def looks(found):
        seen.append(len(Results.read(out).records))
        return make_tables(found)

    monkeypatch.setattr(write, "make_tables", looks)
    found = package.run(models="bow", tasks=tasks, device="cpu", no_store=True, out=out)
    assert seen == [len(found.records)]


@pytest.mark.parametrize("name", PLACES)
def test_ctrl_c_while_reports_are_made(name, evalkit, tasks, tmp_path, monkeypatch):
    pytest.importorskip("jinja2", reason="no extra `report`")
    out = tmp_path / "out"
    planted(monkeypatch, name, KeyboardInterrupt())
    status, _, errors = evalkit(
        "run", "--models", "bow", "--tasks", tasks, "--no-store", "--out", out, "--report"
    )  # fmt: skip
    assert status == 130
    assert f"{name}: interrupted by Ctrl-C" in errors
    assert f"the results are written to {out}" in errors
    monkeypatch.undo()
    assert len(Results.read(out).scores)


@pytest.mark.parametrize("name", [*FILES, shared.TERMINAL])
def test_a_fault_in_the_tables_of_an_interrupted_run(name, evalkit, tasks, tmp_path, monkeypatch):
    from evalkit.models import lexical

    def stops(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(lexical.Tfidf, "encode", stops)
        planted(patched, name, TypeError("a one-element array"))
        asked = ["run", "--models", "bow,tfidf", "--tasks", tasks, "--no-store", "--out", tmp_path / "out"]
        status, _, errors = evalkit(*asked)
    assert status == 130
    assert f"  - {name}: TypeError" in errors
    assert [cell["model"] for cell in Results.read(tmp_path / "out").missing] == ["tfidf"]


def raises(*_, **__):
    raise TypeError("planted")


CHOICE = {
    "recommendation.md": ("evalkit.picking.pick.recommend", {"chunkings.csv", "recommendation.md"}),
    "the tables of the pick on the terminal": ("evalkit.picking.chunkings.chunking_table", set()),
}


@pytest.mark.parametrize("name", CHOICE)
def test_a_fault_after_a_pick_was_measured(name, evalkit, documents, tmp_path, monkeypatch):
    out = tmp_path / "out"
    asked = ["pick", documents, "--questions", tmp_path / "questions.csv", "--models", "bow", "--no-hybrid"]
    asked += ["--store", tmp_path / "store", "--out", out, "--verbose"]
    place, lost = CHOICE[name]
    with monkeypatch.context() as patched:
        patched.setattr(place, raises)
        status, _, errors = evalkit(*asked)
    assert status == 1
    assert f"  - {name}: TypeError: planted" in errors
    found = Results.read(out)
    assert len(found.scores)
    assert not found.measurements.cells.empty
    assert all((out / file).exists() != (file in lost) for file in (*FILES, "chunkings.csv", "recommendation.md"))
    if name == "recommendation.md":
        assert "the same `evalkit pick`, with its store" in errors
        assert evalkit(*asked)[0] == 0
        assert {*FILES, "recommendation.md", "chunkings.csv"} <= set(os.listdir(out))


def test_results_that_cannot_be_written_are_written_elsewhere(tasks, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("evalkit.results.folder._move", full)
    with pytest.raises(ConfigError, match=r"cannot be written to .*No space left on device. They are in ") as caught:
        package.run(models="bow", tasks=tasks, device="cpu", no_store=True, out=tmp_path / "out")
    elsewhere = str(caught.value).partition("They are in ")[2].partition(" instead")[0]
    assert len(Results.read(type(tmp_path)(elsewhere)).scores)
    shutil.rmtree(elsewhere)


def test_any_order_of_k_and_twice_the_same_is_one_run(tasks):
    plain = package.run(models="bow,tfidf", tasks=tasks, top_k=[1, 5], device="cpu")
    for given in ("5,1,5", [5, 1]):
        found = package.run(models="bow,tfidf", tasks=tasks, top_k=given, device="cpu")
        assert found.provenance["top_k"] == [1, 5]
        assert found.records.equals(plain.records)


def test_records_of_any_order_are_ranked_by_the_largest_k(tasks):
    found = package.run(models="bow,tfidf", tasks=tasks, top_k=[1, 5, 10], device="cpu")
    for order in (["nDCG@10", "nDCG@5", "nDCG@1"], ["nDCG@5", "nDCG@10", "nDCG@1"]):
        records = found.records.astype({"metric": str}).set_index("metric").loc[order].reset_index()
        assert Results(records, found.provenance).main_metric("pets", "test").name == "nDCG@10"


@pytest.mark.parametrize("key", ["models", "tasks", "rerankers"])
def test_what_is_named_twice_takes_part_once(key, tasks):
    once = {"models": ["bow", "tfidf"], "tasks": [tasks], "rerankers": ["none", "bow"]}
    twice = {**once, key: [*once[key], *once[key]]}
    assert package.run(**twice, device="cpu").scores.equals(package.run(**once, device="cpu").scores)


def test_a_run_that_was_interrupted_says_so_even_if_nothing_is_missing(tasks, tmp_path, monkeypatch):
    planted(monkeypatch, "leaderboard.md", KeyboardInterrupt())
    with pytest.raises(Interrupted) as caught:
        package.run(models="bow", tasks=tasks, device="cpu", no_store=True, out=tmp_path / "out")
    assert set(caught.value.failed) == {"leaderboard.md", "leaderboard.tex"}
