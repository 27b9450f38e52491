"""The Python API: what is public, its types, tasks made in Python, and results as people meet them."""

import doctest
import inspect
import subprocess
import sys
from typing import get_type_hints

import numpy as np
import pandas as pd
import pytest

import evalkit
from evalkit.cell import Cell
from evalkit.errors import ConfigError, DataError
from evalkit.picking._prepared import PickKeys, prepared
from evalkit.runner.config import RunConfig
from evalkit.runner.keys import RunKeys
from evalkit.tasks import load_task

CORPUS = {"d1": "cats purr at night", "d2": {"title": "Dogs", "text": "they bark all day"}, "d3": "fish swim"}
QUERIES = {"q1": "which cats purr", "q2": "who bark all day"}
QRELS = {"q1": ["d1"], "q2": {"d2": 2, "d3": 0}}
DATA = {"corpus": CORPUS, "queries": QUERIES, "qrels": QRELS}
HOW = {"device": "cpu", "no_store": True}


@pytest.fixture(scope="module")
def results():
    return evalkit.run(models=["bm25", "tfidf"], tasks=["rag-mini", "sts-mini"], max_queries=20, **HOW)


def test_all_that_is_public_is_there_and_every_key_has_its_type():
    for name in evalkit.__all__:
        assert inspect.getdoc(getattr(evalkit, name)), f"{name} has no docstring"
    assert set(evalkit.__all__) <= set(dir(evalkit))
    assert RunKeys.__annotations__.keys() == RunConfig.model_fields.keys()
    for function, named in ((evalkit.run, "RunKeys"), (evalkit.pick, "PickKeys"), (evalkit.surface, "RunKeys")):
        (keys,) = (each for each in inspect.signature(function).parameters.values() if each.kind is each.VAR_KEYWORD)
        assert named in str(keys.annotation)
    own = {each.name for each in inspect.signature(prepared).parameters.values() if each.kind is each.KEYWORD_ONLY}
    assert PickKeys.__annotations__.keys() == own | RunKeys.__annotations__.keys()
    assert not hasattr(evalkit, "nothing")


def test_public_names_are_functions_whatever_is_imported_before():
    """No package has the name of a public function: importing it would take its place."""
    code = (
        "import evalkit, importlib, pkgutil\n"
        "for module in pkgutil.iter_modules(evalkit.__path__, 'evalkit.'):\n"
        "    name = module.name.partition('.')[2]\n"
        "    assert name not in evalkit.__all__, name\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "name", ["run", "pick", "compare", "gate", "report", "retrieval_task", "sts_task", "surface", "Results.best"]
)
def test_examples_in_docstrings_are_true(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = evalkit
    for part in name.split("."):
        found = getattr(found, part)
    (example,) = doctest.DocTestFinder(recurse=False).find(
        found, name, globs={"evalkit": evalkit, **vars(found_in(found))}
    )
    assert example.examples, f"{name} has no example"
    outcome = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(example)
    assert outcome.failed == 0


def found_in(function):
    return sys.modules[function.__module__]


def as_rows(data):
    return {
        "corpus": [
            {"id": "d1", "text": CORPUS["d1"]},
            {"id": "d2", **CORPUS["d2"]},
            {"id": "d3", "text": CORPUS["d3"]},
        ],
        "queries": [{"id": key, "text": text} for key, text in data["queries"].items()],
        "qrels": [
            {"query-id": "q1", "corpus-id": "d1", "score": 1},
            {"query-id": "q2", "corpus-id": "d2", "score": 2},
            {"query-id": "q2", "corpus-id": "d3", "score": 0},
        ],
    }


def test_dicts_rows_and_frames_are_one_task():
    rows = as_rows(DATA)
    frames = {name: pd.DataFrame(table) for name, table in rows.items()}
    tasks = [evalkit.retrieval_task(**given) for given in (DATA, rows, frames)]
    assert len({task.content_hash for task in tasks}) == 1
    assert [document.content for document in tasks[2].corpus] == [
        "cats purr at night", "Dogs they bark all day", "fish swim",
    ]  # fmt: skip
    runs = [evalkit.run(models="bm25", tasks=given, **HOW) for given in (DATA, frames, tasks[1], [tasks[0]])]
    for run in runs[1:]:
        pd.testing.assert_frame_equal(run.scores, runs[0].scores)
    assert runs[0].provenance["config"]["tasks"] == ["given"]


def test_a_frame_of_pairs_is_a_similarity_task():
    pairs = pd.DataFrame(
        {"sentence1": ["a b", "c d", "e f"], "sentence2": ["a b", "c x", "y z"], "score": [5, np.float64(3.5), 0]}
    )
    task = evalkit.sts_task(pairs, name="mine")
    assert task.gold.tolist() == [5, 3.5, 0]
    found = evalkit.run(models="tfidf", tasks=[task, "sts-mini"], **HOW)
    assert set(found.scores["task"]) == {"mine", "sts-mini"}


def test_a_sample_of_data_is_the_sample_of_its_file(tmp_path):
    task = load_task("rag-mini")
    data = {
        "corpus": {document.id: {"title": document.title, "text": document.text} for document in task.corpus},
        "queries": {query.id: query.text for query in task.queries},
        "qrels": {query: dict(grades) for query, grades in task.qrels.items()},
        "name": "rag-mini",
    }
    found = evalkit.run(models="bm25", tasks=data, max_queries=20, **HOW)
    expected = evalkit.run(models="bm25", tasks="rag-mini", max_queries=20, **HOW)
    pd.testing.assert_frame_equal(found.scores, expected.scores)


@pytest.mark.parametrize(
    ("data", "error", "told"),
    [
        ({"corpus": CORPUS}, ConfigError, "a task of data needs corpus, queries, qrels"),
        ({**DATA, "qrel": {}}, ConfigError, "got corpus, queries, qrels, qrel"),
        ({**DATA, "qrels": {"q1": ["nothing"]}}, DataError, "judgement of an absent document"),
        ({**DATA, "corpus": [{"id": "d1", "words": "cats"}]}, DataError, "corpus: no field 'text'"),
        ({**DATA, "qrels": {"q1": {"d1": "high"}}}, DataError, "is not a number"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ConfigError, "a table of 1 rows .* a, b.*evalkit.sts_task"),
        ([pd.DataFrame({"a": ["x"]})], ConfigError, "evalkit.retrieval_task"),
        (7, ConfigError, "Input should be a valid string or a task, got 7"),
    ],
)
def test_data_that_is_no_task_is_told(data, error, told):
    with pytest.raises(error, match=told):
        evalkit.run(models="bm25", tasks=data, **HOW)


def test_a_task_object_is_not_sampled_in_silence():
    with pytest.raises(ConfigError, match="Draw it there"):
        evalkit.run(models="bm25", tasks=evalkit.retrieval_task(**DATA), max_queries=1, **HOW)


def test_results_are_shown_in_short(results):
    shown = repr(results)
    assert shown.startswith("Results(3 cells; best of rag-mini: bm25, nDCG@5 0.")
    assert len(shown) < 200
    page = results._repr_html_()
    assert "bm25 has the best nDCG@5" in page
    assert page.count("<table>") == 2
    assert len(page) < 4_000


def test_best_is_the_first_of_the_leaderboard(results):
    assert results.best("rag-mini") == Cell("rag-mini", "test", "bm25")
    with pytest.raises(ConfigError, match=r"name one of: rag-mini \(test\), sts-mini \(test\)"):
        results.best()
    with pytest.raises(ConfigError, match="0 tasks"):
        results.best("other")


def test_results_compare_and_report_themselves(results, tmp_path):
    after = evalkit.run(models=["bm25", "tfidf"], tasks="rag-mini", max_queries=20, top_k=5, **HOW)
    changes = results.compare(after)
    assert set(changes.cells["verdict"]) == {"same"}
    results.write(tmp_path / "before")
    again = evalkit.compare(tmp_path / "before", after)
    pd.testing.assert_frame_equal(again.cells, changes.cells)
    page = results.report(tmp_path / "page.html")
    assert page == tmp_path / "page.html"
    assert "rag-mini" in page.read_text()
    both = evalkit.report({"before": tmp_path / "before", "after": after}, tmp_path / "both.html")
    assert both.stat().st_size > 10_000


def test_types_of_keys_can_be_resolved():
    assert get_type_hints(evalkit.compare)["return"].__name__ == "Changes"
