"""Clustering of Banking77: mteb's scores, by text; the influence of texts; intervals that hold what they say."""

import json

import mteb
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from sklearn.metrics import v_measure_score
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
from evalkit.tasks.kinds import kind_of
from evalkit.tasks.kinds._clustering import over_experiments, v_measure_values

LABELS = 12


@pytest.fixture(scope="module")
def rows(data_dir):
    """All rows of the test split."""
    lines = (data_dir / "banking77" / "test.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def some(rows):
    """The rows of some of the labels."""
    kept = sorted({row["label"] for row in rows})[:LABELS]
    return [row for row in rows if row["label"] in kept]


@pytest.fixture
def banking(tmp_path):
    """Makes a folder with a task.yaml."""

    def make(rows, more=""):
        folder = tmp_path / "banking"
        folder.mkdir(exist_ok=True)
        (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (folder / "task.yaml").write_text(f"type: clustering\nsplits: {{test: test.jsonl}}\n{more}")
        return str(folder)

    return make


@pytest.fixture
def theirs(feed, monkeypatch):
    """Makes mteb's task of rows, with these parameters of its protocol."""

    def make(rows, max_texts, texts_per_experiment):
        columns = {"sentences": [row["text"] for row in rows], "labels": [row["label"] for row in rows]}
        task = feed("TwentyNewsgroupsClustering.v2", DatasetDict(test=Dataset.from_dict(columns)))
        for name, value in {
            "max_fraction_of_documents_to_embed": None,
            "max_document_to_embed": max_texts,
            "max_documents_per_cluster": texts_per_experiment,
        }.items():
            monkeypatch.setattr(type(task), name, value)
        return mteb.get_task("TwentyNewsgroupsClustering.v2")

    return make


@pytest.mark.parametrize(
    ("all_labels", "max_texts", "texts_per_experiment"),
    [
        (False, None, 300),
        (False, 200, 512),
        (False, 2048, 512),  # more than there are
        pytest.param(True, None, 16_384, marks=pytest.mark.slow),
        pytest.param(True, 2048, 16_384, marks=pytest.mark.slow),
    ],
)
def test_scores_are_mteb_s(
    all_labels, max_texts, texts_per_experiment, rows, some, banking, theirs, potion, plain_potion
):
    of = rows if all_labels else some
    more = f"texts_per_experiment: {texts_per_experiment}\n" + (f"max_texts: {max_texts}\n" if max_texts else "")
    found = evalkit.run(models=potion, tasks=banking(of, more), device="cpu")
    expected = by_mteb(plain_potion, theirs(of, max_texts, texts_per_experiment))
    (score,) = found.scores.itertuples()
    assert score.score == pytest.approx(expected["v_measure"], abs=1e-6)
    assert score.n == min(len(of), max_texts or len(of))
    assert score.ci_low < score.score < score.ci_high


def test_what_is_not_declared_is_as_in_mteb(some, banking):
    task = load_task(banking(some))
    from mteb.abstasks.clustering import AbsTaskClustering

    assert task.draws.shape == (AbsTaskClustering.n_clusters, AbsTaskClustering.max_documents_per_cluster)
    assert task.content_hash != load_task(banking(some, "texts_per_experiment: 512")).content_hash


def test_influence_is_the_jackknife_s():
    """A text is left out with all its draws: V-measure by scikit-learn."""
    rng = np.random.default_rng(0)
    labels, times = rng.integers(0, 4, 40), rng.integers(0, 4, 40)
    clusters = np.where(rng.random(40) < 0.3, rng.integers(0, 4, 40), labels)

    def score(drawn):
        return v_measure_score(np.repeat(labels, drawn), np.repeat(clusters, drawn))

    left = np.array([score(np.where(np.arange(40) == row, 0, times)) for row in range(40)])
    values = v_measure_values(labels, clusters, times)
    assert values == pytest.approx(score(times) + 39 * (left.mean() - left), abs=1e-9)
    assert v_measure_values(labels, labels, times) == pytest.approx(np.ones(40), abs=1e-9)
    assert v_measure_values(labels, np.zeros(40, dtype=int), times) == pytest.approx(np.zeros(40), abs=1e-9)


def test_values_vary_as_the_influences_and_the_experiments_do():
    rng = np.random.default_rng(0)
    scores, influences = rng.random((10, 1)), rng.normal(size=(10, 2000))
    influences -= influences.mean(axis=1, keepdims=True)
    values = over_experiments(scores + influences)
    assert values.mean() == pytest.approx(scores.mean())
    # Student's 97.5 % quantile of nine degrees of freedom is 2.262.
    variance = influences.mean(axis=0).var() / 2000 + (2.262 / 1.96) ** 2 * scores.var(ddof=1) / 10
    assert values.var() / 2000 == pytest.approx(variance, rel=0.05)


def test_it_takes_part_in_all_that_is_made_of_results(some, banking, potion, tmp_path):
    folder = banking(some, "texts_per_experiment: 256")
    before = evalkit.run(models=[potion, "tfidf"], tasks=folder, device="cpu", out=tmp_path / "run")
    assert "Clustering: banking (test), 480 texts" in (tmp_path / "run" / "leaderboard.md").read_text()
    assert "V-measure" in render({"run": before})
    assert before.leaderboard()["v_measure"].is_monotonic_decreasing
    after = evalkit.run(models=["bow", potion], tasks=folder, device="cpu")
    changes = compare_runs(before, after, {"tfidf": "bow"})
    assert set(changes.cells["metric"]) == {"v_measure"}
    verdict = gate(freeze(before, {}), run=after, pairs={"tfidf": "bow"}, policy={"drift": "off"})
    assert any("v_measure" in check.name for check in verdict.checks)


@pytest.mark.slow
@pytest.mark.parametrize(("n", "least"), [(60, 0.9), (360, 0.93)])
def test_the_interval_covers_what_as_many_texts_score(n, least, rows, banking, potion):
    """Samples of texts of six labels, clustered each for itself, against the mean of their scores.

    With few texts a label the interval is a little narrow: it covers 91.6 % at 60 and at 120 texts.
    """
    kept = sorted({row["label"] for row in rows})[:6]
    drawn_from = [row for row in rows if row["label"] in kept]
    model = build(resolve(potion), Compute())
    texts = [row["text"] for row in drawn_from]
    vectors = dict(zip(texts, model.encode(texts, "sentence"), strict=True))
    rng = np.random.default_rng(0)
    scores, bounds = [], []
    for _ in range(500):
        sample = [drawn_from[row] for row in rng.integers(len(drawn_from), size=n)]
        task = load_task(banking(sample, "texts_per_experiment: 360"))
        kind = kind_of(task)
        values = kind.observe(task, lambda texts, role: np.stack([vectors[text] for text in texts]), "cosine")
        scores.append(values["v_measure"].mean())
        bounds.append(influence_interval(values["v_measure"]))
    low, high = np.transpose(bounds)
    assert least < ((low <= np.mean(scores)) & (np.mean(scores) <= high)).mean() < 0.985


TEXT = {"text": "a card", "label": "card"}


@pytest.mark.parametrize(
    ("rows", "more", "message"),
    [
        ([], "", "test.jsonl: no text with a label"),
        ([TEXT] * 3, "", "all 3 texts have the label 'card'; clustering needs at least two labels"),
        ([{**TEXT, "label": each} for each in "abc"], "", "all 3 texts have a label of their own; clustering needs"),
        ([TEXT, {"text": "a loan"}], "", "no field 'label' (1): line 2"),
        ([TEXT, {**TEXT, "label": ["card", "loan"]}], "", "field 'label' is not a string (1): line 2"),
        ([TEXT, {**TEXT, "text": " "}, {**TEXT, "label": "b"}], "", "text with no text (1): line 2"),
        ([{**TEXT, "label": each} for each in "aabbcc"], "texts_per_experiment: 2", "is 2, fewer than the 3 labels"),
    ],
)  # fmt: skip
def test_faults_are_told(rows, more, message, banking):
    with pytest.raises(DataError) as caught:
        load_task(banking(rows, more))
    assert message in str(caught.value)
    assert "Fix the data" in str(caught.value)


def test_samples_settings_and_models_that_cannot_be(some, banking):
    folder = banking(some, "max_texts: 100")
    assert [load_task(folder, max_queries=n).sampled_from for n in (9, 200)] == [480, 480]
    with pytest.raises(DataError, match=r"all 2 texts that were taken of 480 have (the|a) label"):
        load_task(folder, max_queries=2)
    with pytest.raises(ConfigError, match="key 'max_texts'"):
        load_task(banking(some, "max_texts: 0"))
    with pytest.raises(ConfigError, match="has no vectors"):
        evalkit.run(models="bm25", tasks=banking(some), device="cpu")


def test_texts_without_a_known_word_are_clustered_as_they_are(banking, data_dir):
    words = f"glove:{data_dir / 'glove-6b-50d-slice' / 'glove.6B.50d.slice.txt.gz'}"
    texts = {"man": "people", "woman": "people", "xqzzk": "people", "money": "things", "bank": "things"}
    rows = [{"text": text, "label": label} for text, label in texts.items()]
    found = evalkit.run(models=words, tasks=banking(rows, "texts_per_experiment: 64"), device="cpu")
    assert found.scores["n"].tolist() == [5]
    assert found.scores["score"].between(0, 1).all()
