"""The bundled tasks load, and the real sets have the counts that their SOURCE.md states."""

import warnings

import pytest

from evalkit.errors import DataError
from evalkit.tasks import DataWarning, list_tasks, load_task


@pytest.fixture(autouse=True)
def search_path(request, monkeypatch):
    if "data_dir" in request.fixturenames:
        monkeypatch.setenv("EVALKIT_DATA", str(request.getfixturevalue("data_dir")))


def test_tasks_that_can_be_named(data_dir):
    found = {task.name: (task.type, set(task.splits)) for task in list_tasks()}
    assert found["stsb-en"] == found["stsb-de"] == ("sts", {"train", "dev", "test"})
    assert found["cranfield"] == ("retrieval", {"raw_codes", "test", "test_graded"})
    assert found["llamaindex-10k-val"] == ("retrieval", {"test"})
    assert not {"ce-minilm", "banking77", "tatoeba", "glove-6b-50d-slice"} & set(found)


def test_every_bundled_task_is_clean():
    bundled = [task for task in list_tasks() if task.source.parent.name in ("tasks", "bundled_tasks")]
    assert bundled
    for task in bundled:
        for split in task.splits:
            assert load_task(f"{task.source}?split={split}").name == task.name


@pytest.mark.parametrize("name", ["stsb-en", "stsb-de"])
@pytest.mark.parametrize(("split", "pairs"), [("train", 5749), ("dev", 1500), ("test", 1379)])
def test_sts_benchmark(data_dir, name, split, pairs):
    task = load_task(f"{name}?split={split}")
    assert len(task.sentences1) == len(task.sentences2) == len(task.gold) == pairs
    assert (task.gold.min(), task.gold.max()) == (0, 5)


def test_llamaindex_dataset_is_the_same_task_in_both_layouts(data_dir):
    beir = load_task("llamaindex-10k-val")
    dataset = load_task("llamaindex-10k-val/val_dataset.json")
    assert (len(beir.corpus), len(beir.queries), beir.excluded) == (395, 790, 0)
    assert sum(map(len, beir.qrels.values())) == 790
    assert (dataset.corpus, dataset.queries, dataset.qrels) == (beir.corpus, beir.queries, beir.qrels)
    assert dataset.content_hash == beir.content_hash


def test_cranfield_has_two_empty_documents(data_dir):
    folder = data_dir / "cranfield"
    with pytest.raises(DataError) as caught:
        load_task("cranfield")
    assert str(caught.value) == (
        f"{folder}: 1 problem(s) in the data:\n  - corpus.jsonl: document with no text (2): '471', '995'\n"
        "Fix the data, or accept it as it is: on_bad_data=warn (--on-bad-data warn of "
        "`evalkit run`, `pick` and `export`)."
    )
    with pytest.warns(DataWarning, match="'471', '995'"):
        task = load_task("cranfield", on_bad_data="warn")
    assert (len(task.corpus), len(task.queries), task.excluded) == (1400, 225, 0)
    assert sum(map(len, task.qrels.values())) == 1612
    assert task.queries[0].tags == {"original_id": "001"}


def test_cranfield_grades(data_dir):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        binary = load_task("cranfield", on_bad_data="warn")
        graded = load_task("cranfield?split=test_graded", on_bad_data="warn")
    grades = [grade for judged in graded.qrels.values() for grade in judged.values()]
    assert {grade: grades.count(grade) for grade in set(grades)} == {1: 363, 2: 734, 3: 387, 4: 128}
    assert graded.content_hash != binary.content_hash
