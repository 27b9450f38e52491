"""A run on a sample says so in the headings of its tables and of its report, and of which whole it is one."""

import json

import pytest
from fakes import write_tasks

import evalkit
from evalkit.reporting._tables import make_tables
from evalkit.reporting.changes import change_tables
from evalkit.reporting.html.units import make_units
from evalkit.results.diff import compare_runs


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks"))


def results(tasks, **keys):
    return evalkit.run(
        models=["bow", "tfidf"], tasks=list(tasks), rerankers=["bm25"], top_k=1, device="cpu", no_store=True, **keys
    )


def test_every_heading_of_a_task_says_that_it_is_a_sample(tasks):
    size = 2
    run = results(tasks, max_queries=size)
    titles = [table.title for table in make_tables(run)]
    of_pets = [title for title in titles if "pets (test)" in title]
    assert len(of_pets) == 3  # scores, grid, gains
    assert all(f"a sample of {size} of 3 queries" in title for title in of_pets)
    (of_pairs,) = [title for title in titles if title.startswith("STS")]
    assert f"a sample of {size} of 6 pairs" in of_pairs
    assert not [title for title in titles if title.startswith("Over") and "samples" not in title]
    assert all("a sample of" in unit.heading for unit in make_units(run))
    assert all(unit.size.startswith(f"a sample of {size} of ") for unit in make_units(run))
    compared = [table.title for table in change_tables(compare_runs(run, run), "a", "b")]
    assert len(compared) == 2
    assert all(f", a sample of {size} of " in title for title in compared)
    told = json.loads(json.dumps(run.provenance))["tasks"]
    assert [task["sampled_from"] for task in told] == [3, 6]


@pytest.mark.parametrize("size", [None, 6, 100])
def test_a_whole_task_is_no_sample(tasks, size):
    run = results(tasks, max_queries=size)
    assert not [table.title for table in make_tables(run) if "sample" in table.title]
    assert not [unit for unit in make_units(run) if "sample" in unit.heading + unit.size]
    assert {task["sampled_from"] for task in run.provenance["tasks"]} == {None}
