"""Folders and files that are not tasks, and declarations that cannot be used."""

import pytest

from evalkit.errors import ConfigError
from evalkit.tasks import load_task


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (
            "type: retrieval\ncorpsu: c.jsonl\nsplits: {test: t.tsv}\n",
            "unknown key 'corpsu'. Did you mean 'corpus'?",
        ),
        (
            "type: sts\ncorpus: c.jsonl\n",
            "key 'splits': Field required. unknown key 'corpus'. "
            "Allowed: description, language, licence, name, score_range, splits, type.",
        ),
        ("type: stss\nsplits: {test: t.csv}\n", "unknown type 'stss'. Did you mean 'sts'?"),
        (
            "type: sts\nscore_range: [5, 0]\nsplits: {test: t.csv}\n",
            "key 'score_range': Value error, the first number must be below the second.",
        ),
        ("just a line\n", "must hold keys and values: type, splits, ..."),
    ],
)
def test_declaration_that_cannot_be_used(tmp_path, yaml, message):
    (tmp_path / "task.yaml").write_text(yaml)
    with pytest.raises(ConfigError) as caught:
        load_task(str(tmp_path))
    assert str(caught.value) == f"{tmp_path / 'task.yaml'}: {message}"


def test_declaration_that_is_not_yaml(tmp_path):
    (tmp_path / "task.yaml").write_text("name: [open\n")
    with pytest.raises(ConfigError, match=r"task\.yaml: cannot be read as YAML: "):
        load_task(str(tmp_path))


def test_folder_that_is_not_a_task(tmp_path):
    (tmp_path / "train.jsonl").write_text('{"text": "hello", "label": 1}\n')
    with pytest.raises(ConfigError) as caught:
        load_task(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: not a task: no file in it has the columns sentence1, sentence2, score. "
        "A task is a folder with task.yaml, a BEIR folder (corpus, queries and qrels), a file of sentence1, "
        "sentence2, score, "
        "or a LlamaIndex EmbeddingQAFinetuneDataset in a .json file."
    )


def test_file_that_is_not_a_task(tmp_path):
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(ConfigError, match=r"not a task: the name of a single file must end in \.csv, \.tsv, "):
        load_task(str(tmp_path / "notes.md"))
