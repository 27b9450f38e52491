"""Names of tasks and models are no paths, and YAML is data."""

import json
from pathlib import Path

import pytest
from fakes import FakeReranker
from hostile_tasks import beir

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.gating.gate import gate, make_baseline
from evalkit.gating.policy import read_policy
from evalkit.gating.writing import write_verdict
from evalkit.reporting.html import write_report
from evalkit.runner.config import read_suite
from evalkit.tasks import load_task

NAMES = [
    "../../evil", "/tmp/evil", "..", "a\0b", "evil\nname", "x" * 300,
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("a/b", "C:\\evil", "~", "$HOME")),
]  # fmt: skip


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_writes_nothing_outside_of_the_output_folder(name, evalkit, tmp_path):
    top = tmp_path / "deep" / "deeper"
    beir(top / "task")
    (top / "task" / "task.yaml").write_text(
        json.dumps({"type": "retrieval", "name": name, "splits": {name: "qrels/test.tsv"}})
    )
    before, out = tree(tmp_path), top / "out"
    model, reranker = name, f"{name} too"
    results = package.run(
        models=["bm25", (model, _tfidf())], rerankers=[(reranker, FakeReranker())],
        device="cpu", no_store=True, top_k="1,10",
        tasks=f"{top / 'task'}?split={name}" if "\0" not in name and "\n" not in name else str(top / "task"), out=out,
    )  # fmt: skip
    assert results.failures == []
    assert set(results.scores["task"]) == {name}
    write_report({name: results}, out / "report.html")
    baseline = make_baseline(results, models={model: _tfidf()})
    baseline.write(out / "baseline.json")
    write_verdict(gate(baseline, run=results, policy={"drift": "off"}), out / "gate")
    status, _, err = evalkit("export", "mteb", out, "-o", out / "mteb")
    assert status == 0, err
    assert list((out / "mteb").rglob("*.json"))
    outside = {path for path in tree(tmp_path) - before if not path.startswith(f"{out.relative_to(tmp_path)}")}
    assert outside == set()
    assert not Path("/tmp/evil").exists()


def _tfidf():
    from evalkit.compute import Compute
    from evalkit.models.registry import build, parse_spec

    return build(parse_spec("tfidf"), Compute())


HARMFUL = [
    "!!python/object/apply:os.system ['touch {mark}']",
    "models: !!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{mark}']]",
    "models: !!python/object/new:os.system ['touch {mark}']",
    "margin: !!python/name:os.system",
    "type: !!python/module:os",
]


@pytest.mark.parametrize("text", HARMFUL)
@pytest.mark.parametrize("kind", ["suite", "policy", "task"])
def test_yaml_is_data_alone(kind, text, tmp_path):
    mark = tmp_path / "mark"
    file = tmp_path / "task.yaml"
    file.write_text(text.format(mark=mark))
    read = {"suite": read_suite, "policy": read_policy, "task": lambda _: load_task(str(tmp_path))}[kind]
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        read(file)
    assert not mark.exists()


def test_the_bait_works(tmp_path):
    """An unsafe loader would have done it."""
    import yaml

    yaml.unsafe_load(HARMFUL[0].format(mark=tmp_path / "mark"))
    assert (tmp_path / "mark").exists()
