"""Task references: names, paths, splits, and what the search path holds."""

import shutil
from pathlib import Path

import pytest

from evalkit.errors import ConfigError, SpecError, UnknownNameError
from evalkit.runner.config import read_config
from evalkit.tasks import DataWarning, list_tasks, load_task, reference, task_folders
from evalkit.tasks.reference import bundled_tasks, find_task

PAIRS = "sentence1,sentence2,score\n{},b,1\n"


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A package with one bundled task, `tiny`, in a checkout."""
    folder = tmp_path / "repo" / "tasks"
    write_task(folder / "tiny-folder", "bundled", yaml="name: tiny\ntype: sts\nsplits: {test: test.csv}\n")
    monkeypatch.setattr(reference, "_PACKAGE", tmp_path / "repo" / "evalkit")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return folder


@pytest.fixture
def own(tmp_path, monkeypatch, bundled):
    """The folder of $EVALKIT_DATA, with a task, a model and a single file."""
    folder = tmp_path / "own"
    write_task(folder / "mine", "own")
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "alone.csv").write_text(PAIRS.format("alone"))
    monkeypatch.setenv("EVALKIT_DATA", str(folder))
    return folder


def write_task(folder: Path, text: str, splits=("test",), yaml: str | None = None):
    folder.mkdir(parents=True)
    for split in splits:
        (folder / f"{split}.csv").write_text(PAIRS.format(text))
    if yaml:
        (folder / "task.yaml").write_text(yaml)


def first_sentence(name: str) -> str:
    return load_task(name).sentences1[0]


def test_folders_in_a_checkout_and_in_a_wheel(bundled, tmp_path, monkeypatch):
    assert task_folders() == [bundled]
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path / "own"))
    in_wheel = tmp_path / "repo" / "evalkit" / "bundled_tasks"
    in_wheel.mkdir(parents=True)
    assert task_folders() == [in_wheel, tmp_path / "own"]


def test_names_resolve_in_the_order_of_the_search_path(own, tmp_path):
    assert first_sentence("tiny") == "bundled"
    assert first_sentence("mine") == "own"
    assert first_sentence("alone.csv") == "alone"
    write_task(own / "tiny", "shadowed")
    assert first_sentence("tiny") == "bundled"
    write_task(tmp_path / "tiny", "a path")
    assert first_sentence("tiny") == "a path"


def test_list_tasks(own):
    (own / "mine" / "task.yaml").write_text(
        "type: sts\ndescription: Mine\nlicence: CC0\nlanguage: de\nsplits: {b: test.csv, a: test.csv}\n"
    )
    write_task(own / "tiny", "shadowed")
    tiny, mine = list_tasks()
    assert (tiny.name, tiny.type, tiny.source.name) == ("tiny", "sts", "tiny-folder")
    assert (mine.name, mine.type, list(mine.splits)) == ("mine", "sts", ["b", "a"])
    assert (mine.description, mine.licence, mine.language) == ("Mine", "CC0", "de")
    assert mine.source == own / "mine"


def test_list_tasks_tells_of_a_faulty_declaration(own):
    (own / "mine" / "task.yaml").write_text("type: sts\nsplit: {}\n")
    with pytest.warns(DataWarning) as caught:
        assert [task.name for task in list_tasks()] == ["tiny"]
    assert str(caught[0].message) == (
        f"Left out of the list of tasks: {own / 'mine' / 'task.yaml'}: key 'splits': Field required. "
        "unknown key 'split'. Did you mean 'splits'?"
    )
    with pytest.warns(DataWarning), pytest.raises(ConfigError, match="unknown key 'split'"):
        load_task("mine")


def test_search_path_that_is_not_there(bundled, monkeypatch, tmp_path):
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path / "nowhere"))
    assert [task.name for task in list_tasks()] == ["tiny"]


def test_unknown_name(own, bundled):
    with pytest.raises(UnknownNameError) as caught:
        load_task("tinny")
    assert str(caught.value) == (
        f"Unknown task 'tinny' (looked in {bundled}, {own}). Did you mean 'tiny'? Or give a path to a folder."
    )


def test_unknown_name_when_there_is_no_task_at_all(bundled, monkeypatch, tmp_path):
    monkeypatch.setattr(reference, "_PACKAGE", tmp_path / "empty" / "evalkit")
    with pytest.raises(UnknownNameError) as caught:
        load_task("x")
    assert str(caught.value) == (
        f"Unknown task 'x' (looked in {tmp_path / 'empty' / 'tasks'}). No task is known. Or give a path to a folder."
    )


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        (
            "mine?splt=test",
            UnknownNameError,
            "Unknown option 'splt' in the task reference 'mine?splt=test'. Did you mean 'split'?",
        ),
        (
            "mine?split=",
            ConfigError,
            "Cannot read the task reference 'mine?split='. Write NAME_OR_PATH[?split=SPLIT].",
        ),
        ("", ConfigError, "Cannot read the task reference ''. Write NAME_OR_PATH[?split=SPLIT]."),
        (
            "mine?split=tset",
            UnknownNameError,
            "Task 'mine' has no split 'tset'; it has test. Did you mean 'test'?",
        ),
        (
            "mine?split=other",
            UnknownNameError,
            "Task 'mine' has no split 'other'; it has test. Allowed: test.",
        ),
    ],
)
def test_references_that_cannot_be_used(own, text, kind, message):
    with pytest.raises(kind) as caught:
        load_task(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("splits", "chosen"),
    [
        (("train", "test", "dev"), "test"),
        (("anything",), "anything"),
        (("train", "validation", "dev"), "dev"),
        (("train", "validation"), "validation"),
    ],
)
def test_default_split(tmp_path, splits, chosen):
    write_task(tmp_path / "many", "x", splits)
    assert load_task(str(tmp_path / "many")).split == chosen


def test_no_default_split(tmp_path):
    write_task(tmp_path / "many", "x", ("left", "right"))
    with pytest.raises(ConfigError) as caught:
        load_task(str(tmp_path / "many"))
    assert str(caught.value) == (
        "Task 'many' has several splits and none is called test, dev or validation: left, right. "
        "Name one: many?split=left"
    )


def test_a_comma_in_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(bundled_tasks() / "rag-mini", tmp_path / "a,b")
    config = {"models": "tfidf"}
    with pytest.raises(SpecError, match=r"'a,b' is a path with a comma in it: write the comma as %2C"):
        read_config({**config, "tasks": "rag-mini,a,b"})
    (name,) = read_config({**config, "tasks": "a%2Cb"}).tasks
    assert find_task(name)[0].source == Path("a,b")
    assert find_task("a,b?split=test")[0].source == Path("a,b")
