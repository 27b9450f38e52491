"""Files that are well-formed and yet cannot be read: nested too deeply, numbers without end, dates that are none."""

import pytest

from evalkit.errors import ConfigError, DataError
from evalkit.gating.policy import read_policy
from evalkit.runner.config import read_suite
from evalkit.tasks import load_task

DEEP = "[" * 100_000 + "]" * 100_000
ENDLESS = "9" * 5_000
YAML = {"deep": f"models: {'[' * 5_000}{']' * 5_000}", "endless": f"seed: {ENDLESS}", "date": "name: 2026-02-31"}


@pytest.mark.parametrize("name", YAML)
@pytest.mark.parametrize("read", [read_suite, read_policy])
def test_yaml(read, name, tmp_path):
    (tmp_path / "file.yaml").write_text(YAML[name])
    with pytest.raises(ConfigError, match="cannot read the"):
        read(tmp_path / "file.yaml")


@pytest.mark.parametrize("name", YAML)
def test_task_yaml(name, tmp_path):
    (tmp_path / "task.yaml").write_text(YAML[name])
    with pytest.raises(ConfigError, match="cannot be read as YAML"):
        load_task(str(tmp_path))


@pytest.mark.parametrize("value", [DEEP, ENDLESS], ids=["deep", "endless"])
def test_json(value, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(f'{{"sentence1": "a", "sentence2": "b", "score": {value}}}\n')
    with pytest.raises(DataError, match=r"pairs\.jsonl"):
        load_task(str(pairs))
    dataset = tmp_path / "dataset.json"
    dataset.write_text(f'{{"queries": {value}, "corpus": {{}}, "relevant_docs": {{}}}}')
    with pytest.raises(DataError, match=r"dataset\.json"):
        load_task(str(dataset))
