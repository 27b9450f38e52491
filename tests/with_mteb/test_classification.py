"""Classification on Banking77: mteb's scores, by item; the influence of items; intervals that hold what they say."""

import json
from pathlib import Path

import mteb
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from test_mteb_tasks import by_mteb

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError, DataError
from evalkit.gating._baseline import freeze
from evalkit.gating.gate import gate
from evalkit.models.registry import build, resolve
from evalkit.reporting.html.page import render
from evalkit.results.diff import compare_runs
from evalkit.stats.intervals import influence_interval, influence_values
from evalkit.tasks import load_task
from evalkit.tasks.kinds import _classification as classification

LABELS = 12


@pytest.fixture(scope="module")
def all_rows(data_dir):
    """All rows, by split."""

    def read(split):
        lines = (data_dir / "banking77" / f"{split}.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    return {split: read(split) for split in ("train", "test")}


@pytest.fixture(scope="module")
def rows(all_rows):
    """Rows of some of the labels, by split."""
    kept = sorted({row["label"] for row in all_rows["test"]})[:LABELS]
    return {split: [row for row in of_split if row["label"] in kept] for split, of_split in all_rows.items()}


@pytest.fixture
def banking(tmp_path, rows):
    """A folder with a task.yaml."""

    def make(more="", rows=rows):
        folder = tmp_path / "banking"
        folder.mkdir(exist_ok=True)
        for split, of_split in rows.items():
            (folder / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_split))
        (folder / "task.yaml").write_text(
            f"type: classification\ntrain: train.jsonl\nsplits: {{test: test.jsonl}}\n{more}"
        )
        return str(folder)

    return make


@pytest.mark.parametrize("which", ["rows", pytest.param("all_rows", marks=pytest.mark.slow)])
def test_scores_are_mteb_s(which, banking, feed, potion, plain_potion, request):
    rows = request.getfixturevalue(which)
    labels = sorted({row["label"] for row in rows["train"]})
    coded = {
        split: Dataset.from_dict(
            {"text": [row["text"] for row in of], "label": [labels.index(row["label"]) for row in of]}
        )
        for split, of in rows.items()
    }
    feed("Banking77Classification", DatasetDict(coded))
    found = evalkit.run(models=potion, tasks=banking(rows=rows), device="cpu")
    expected = by_mteb(plain_potion, mteb.get_task("Banking77Classification"))
    scores = found.scores.set_index("metric")
    assert scores.loc["accuracy", "score"] == pytest.approx(expected["accuracy"], abs=1e-6)
    assert scores.loc["macro_f1", "score"] == pytest.approx(expected["f1"], abs=1e-6)
    assert set(scores["n"]) == {len(rows["test"])}
    assert (scores["ci_low"] < scores["score"]).all()
    assert (scores["score"] < scores["ci_high"]).all()


def test_all_of_the_training_split_by_sklearn(banking):
    found = evalkit.run(models="tfidf", tasks=banking("samples_per_label: all"), device="cpu")
    task = load_task(banking("samples_per_label: all"))
    model = TfidfVectorizer().fit(list(dict.fromkeys([*task.train, *task.test])))
    classifier = LogisticRegression(max_iter=100, random_state=42).fit(model.transform(task.train), task.train_labels)
    told = classifier.predict(model.transform(task.test))
    scores = found.scores.set_index("metric")["score"]
    # Words are cut a little otherwise.
    assert scores["accuracy"] == pytest.approx(accuracy_score(task.test_labels, told), abs=0.01)
    assert scores["macro_f1"] == pytest.approx(f1_score(task.test_labels, told, average="macro"), abs=0.01)


def test_it_takes_part_in_all_that_is_made_of_results(banking, potion, tmp_path):
    folder = banking()
    before = evalkit.run(models=[potion, "tfidf"], tasks=folder, device="cpu", out=tmp_path / "run")
    assert "Classification: banking (test)" in (tmp_path / "run" / "leaderboard.md").read_text()
    assert "Macro F1" in render({"run": before})
    board = before.leaderboard()
    assert board["accuracy"].is_monotonic_decreasing
    after = evalkit.run(models=["bow", potion], tasks=folder, device="cpu")
    changes = compare_runs(before, after, {"tfidf": "bow"})
    assert {"accuracy", "macro_f1"} <= set(changes.cells["metric"])
    verdict = gate(
        freeze(before, {}), run=after, pairs={"tfidf": "bow"}, policy={"drift": "off", "metrics": ["macro_f1"]}
    )
    assert any(": macro_f1" in check.name for check in verdict.checks)


def macro(labels):
    """F1 by sklearn of a table of counts of labels and predictions, flat."""

    def statistic(counts):
        table = np.zeros(labels * labels, dtype=np.int64)
        table[: len(counts)] = counts
        gold, told = np.divmod(np.repeat(np.arange(labels * labels), table), labels)
        return f1_score(gold, told, average="macro")

    return statistic


def test_influence_is_the_jackknife_s():
    rng = np.random.default_rng(0)
    gold, told = rng.integers(0, 4, 60), rng.integers(0, 4, 60)
    values = influence_values(gold * 4 + told, macro(4))
    assert values.mean() == pytest.approx(f1_score(gold, told, average="macro"), abs=1e-12)
    left_out = [f1_score(np.delete(gold, row), np.delete(told, row), average="macro") for row in range(60)]
    variance = 59 / 60 * ((left_out - np.mean(left_out)) ** 2).sum()
    assert values.var(ddof=1) / 60 == pytest.approx(variance)


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 120, 360])
def test_the_interval_of_f1_covers_what_all_texts_score(n, banking, potion):
    """Samples of texts of Banking77, told by one classifier: the F1 of each has the interval of its influences."""
    task = load_task(banking("samples_per_label: all"))
    model = build(resolve(potion), Compute())
    classifier = LogisticRegression(max_iter=100).fit(model.encode(list(task.train), "sentence"), task.train_labels)
    told = classifier.predict(model.encode(list(task.test), "sentence"))
    truth = f1_score(task.test_labels, told, average="macro")
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(500):
        rows = rng.integers(len(told), size=n)
        values = classification._f1(task.test_labels[rows], told[rows], len(task.labels))
        low, high = influence_interval(values)
        covered.append(low <= truth <= high)
    assert 0.93 < np.mean(covered) < 0.985


def test_faults_are_told(banking, rows):
    declaration = Path(banking()) / "task.yaml"
    declaration.write_text(declaration.read_text().replace("train: train.jsonl\n", ""))
    with pytest.raises(ConfigError, match="key 'train'"):
        load_task(str(declaration.parent))
    known = rows["test"][0]["label"]
    faulty = {**rows, "test": [*rows["test"], {"text": "?", "label": "never seen"}, {"text": " ", "label": known}]}
    with pytest.raises(DataError, match=r"(?s)text with no text.*a label that no training text has.*'never seen'"):
        load_task(banking(rows=faulty))
    with pytest.warns(evalkit.tasks.DataWarning):
        task = load_task(banking(rows=faulty), on_bad_data="warn")
    assert task.labels[-1] == "never seen"
    with pytest.raises(DataError, match="fewer than two labels"):
        load_task(banking(rows={split: [{**row, "label": "one"} for row in of] for split, of in rows.items()}))
    few = load_task(banking(), max_queries=9)
    assert (len(few.test), few.sampled_from) == (9, len(rows["test"]))
