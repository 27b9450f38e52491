"""Pair classification on STS-B: mteb's and scikit-learn's scores, by pair; intervals that hold what they say."""

import json
from pathlib import Path

import mteb
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.metrics import average_precision_score
from test_mteb_tasks import by_mteb

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError, DataError
from evalkit.gating._baseline import freeze
from evalkit.gating.gate import gate
from evalkit.models.registry import build, resolve
from evalkit.reporting.html.page import render
from evalkit.results.diff import compare_runs
from evalkit.stats.intervals import influence_interval
from evalkit.tasks import load_task
from evalkit.tasks.kinds._pair_classification import pair_values
from evalkit.tasks.kinds.sts import similarities_of_pairs
from evalkit.terms import SIMILARITIES

LANGUAGES = ("stsb-en", "stsb-de")
SAME = 4
"""A pair of STS-B with at least this score has the label 1: a quarter of them."""
METRICS = ("ap", "f1", "accuracy")


@pytest.fixture
def pairs(tmp_path, data_dir):
    """Makes a folder with a task.yaml of a language of STS-B; `rows` in place of its own."""

    def make(language="stsb-en", rows=None):
        folder = tmp_path / language
        folder.mkdir(exist_ok=True)
        lines = (data_dir / language / "test.jsonl").read_text(encoding="utf-8").splitlines()
        own = (json.loads(line) for line in lines)
        rows = rows or [{**row, "label": int(row.pop("score") >= SAME)} for row in own]
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "task.yaml").write_text("type: pair_classification\nsplits: {test: test.jsonl}\n")
        return str(folder)

    return make


@pytest.mark.parametrize("language", LANGUAGES)
def test_scores_are_mteb_s(language, pairs, feed, potion, plain_potion):
    task = load_task(pairs(language))
    rows = {"sentence1": list(task.first), "sentence2": list(task.second), "labels": task.labels.tolist()}
    theirs = feed("SprintDuplicateQuestions", DatasetDict(test=Dataset.from_dict(rows)))
    found = evalkit.run(models=potion, tasks=pairs(language), device="cpu")
    expected = by_mteb(plain_potion, theirs)
    scores = found.scores.set_index("metric")
    for similarity in SIMILARITIES:
        for metric in METRICS:
            score = scores.loc[f"{metric}({similarity})", "score"]
            assert score == pytest.approx(expected[f"{similarity}_{metric}"], abs=1e-6), (metric, similarity)
    best = max(scores.loc[f"ap({similarity})", "score"] for similarity in SIMILARITIES)
    assert best == pytest.approx(expected["max_ap"], abs=1e-6)
    assert set(scores["n"]) == {1379}
    assert (scores["ci_low"] < scores["score"]).all()
    assert (scores["score"] < scores["ci_high"]).all()
    assert found.main_metric(language, "test").name == "ap(cosine)"


def recomputed(scores, labels):
    """AP by scikit-learn; F1 and accuracy by mteb's own loops over thresholds."""
    theirs = mteb.get_task("SprintDuplicateQuestions")
    return [
        average_precision_score(labels, scores),
        theirs._find_best_f1_and_threshold(list(scores), labels, True)[0],
        theirs._find_best_acc_and_threshold(list(scores), labels, True)[0],
    ]


def test_values_are_the_jackknife_s_also_where_scores_are_equal():
    rng = np.random.default_rng(0)
    for levels in (1, 3, 8, 1000):
        for n in (5, 24):
            labels = rng.permutation(np.arange(n) % 5 < 2).astype(np.int64)
            scores = rng.integers(0, levels, n).astype(np.float64)
            without = [recomputed(np.delete(scores, row), np.delete(labels, row)) for row in range(n)]
            whole, left = np.array(recomputed(scores, labels))[:, None], np.array(without).T
            values = pair_values(scores, labels)
            assert values == pytest.approx(whole + (n - 1) * (left.mean(axis=1, keepdims=True) - left), abs=1e-9)
            assert values.mean(axis=1) == pytest.approx(whole[:, 0], abs=1e-12)
            variance = (n - 1) / n * left.var(axis=1) * n
            assert values.var(axis=1, ddof=1) / n == pytest.approx(variance)


def test_it_takes_part_in_all_that_is_made_of_results(pairs, potion, tmp_path):
    folder = pairs()
    how = {"tasks": folder, "device": "cpu", "max_queries": 200}
    before = evalkit.run(models=[potion, "tfidf"], out=tmp_path / "run", **how)
    markdown = (tmp_path / "run" / "leaderboard.md").read_text()
    assert "Pair classification: stsb-en (test), a sample of 200 of 1379 pairs" in markdown
    assert "AP cosine" in render({"run": before})
    assert before.leaderboard()["ap(cosine)"].is_monotonic_decreasing
    after = evalkit.run(models=["bow", potion], **how)
    changes = compare_runs(before, after, {"tfidf": "bow"})
    assert set(changes.cells["metric"]) == {
        "f1(cosine)",
        "accuracy(cosine)",
        *(f"ap({each})" for each in SIMILARITIES),
    }
    verdict = gate(freeze(before, {}), run=after, pairs={"tfidf": "bow"}, policy={"drift": "off"})
    assert any("ap(cosine)" in check.name for check in verdict.checks)


def test_a_pair_with_a_sentence_without_a_known_word_is_left_out(pairs, data_dir):
    words = f"glove:{data_dir / 'glove-6b-50d-slice' / 'glove.6B.50d.slice.txt.gz'}"
    rows = [{"sentence1": "a man plays", "sentence2": f"a man is {verb}", "label": verb == "playing"}
            for verb in ("playing", "here", "playing", "home", "there", "playing", "playing")]  # fmt: skip
    rows += [{"sentence1": "xqzzk", "sentence2": "a man", "label": 1}]
    found = evalkit.run(models=words, tasks=pairs(rows=rows * 2), device="cpu").scores.set_index("metric")
    assert set(found["n"]) == {14}
    assert found["ci_low"].notna().all()
    few = [{"sentence1": "xqzzk", "sentence2": "qqxzz", "label": label} for label in (0, 1)] * 4
    undefined = evalkit.run(models=words, tasks=pairs(rows=few), device="cpu").scores
    assert undefined["score"].isna().all()
    assert set(undefined["n"]) == {0}


@pytest.mark.slow
@pytest.mark.parametrize("n", [60, 120, 360])
def test_the_intervals_cover_what_all_pairs_score(n, pairs, potion):
    """Samples of pairs of STS-B. F1 and accuracy are at a threshold that is the best of the sample, so a little high.

    Their intervals hold what samples of as many pairs score in the mean, and what all pairs score a little less.
    """
    task = load_task(pairs())
    model = build(resolve(potion), Compute())
    scores = similarities_of_pairs(task.first, task.second, model.encode)["cosine"]
    truth = pair_values(scores, task.labels).mean(axis=1)
    rng = np.random.default_rng(0)
    drawn = [rng.integers(len(scores), size=n) for _ in range(500)]
    values = [pair_values(scores[rows], task.labels[rows]) for rows in drawn]
    low, high = np.moveaxis([[influence_interval(row) for row in of] for of in values], 2, 0)
    in_the_mean = np.mean(values, axis=(0, 2))
    assert ((low <= in_the_mean) & (in_the_mean <= high)).mean(axis=0) == pytest.approx(0.9575, abs=0.0275)
    ap, f1, accuracy = ((low <= truth) & (truth <= high)).mean(axis=0)
    assert 0.93 < ap < 0.985
    assert 0.91 < f1 < 0.985
    assert 0.91 < accuracy < 0.985


PAIR = {"sentence1": "a", "sentence2": "b"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{**PAIR, "label": 2}], "a label that is neither 0 nor 1 (1): line 1 has 2"),
        ([{**PAIR, "label": 0.5}], "a label that is neither 0 nor 1 (1): line 1 has 0.5"),
        ([{**PAIR, "label": "same"}], "label is not a number (1): line 1 has 'same'"),
        ([PAIR], "no field 'label'; the columns are 'sentence1', 'sentence2'; needed: sentence1, sentence2, label"),
        ([{**PAIR, "label": 1}, PAIR], "no field 'label' (1): line 2"),
        ([{**PAIR, "label": 1}] * 4, "4 pairs of the label 1 and 0 of the label 0; pair classification needs"),
        ([{**PAIR, "label": each} for each in (0, 0, 1)], "1 pairs of the label 1 and 2 of the label 0"),
        ([{"sentence1": " ", "sentence2": "b", "label": each} for each in (0, 1, 0, 1)], "sentence1 with no text"),
    ],
)  # fmt: skip
def test_faults_are_told(pairs, rows, message):
    with pytest.raises(DataError) as caught:
        load_task(pairs(rows=rows))
    assert message in str(caught.value)
    assert "Fix the data" in str(caught.value)


def test_no_pairs_a_sample_of_one_label_and_models_without_vectors(pairs):
    folder = pairs()
    with pytest.raises(
        DataError, match=r"\d pairs of the label 1 and \d of the label 0 that were drawn of 1379; take"
    ):
        load_task(folder, max_queries=3)
    few = load_task(folder, max_queries=40)
    assert (len(few.first), few.sampled_from) == (40, 1379)
    with pytest.raises(ConfigError, match="has no vectors"):
        evalkit.run(models="bm25", tasks=folder, device="cpu")
    (Path(folder) / "test.jsonl").write_text("")
    with pytest.raises(DataError, match="no pair of sentences with a label"):
        load_task(folder)
