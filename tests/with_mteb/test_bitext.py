"""Bitext mining on Tatoeba: mteb's scores, by item; and an interval that covers what more sentences would score."""

import mteb
import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from test_mteb_tasks import by_mteb

import evalkit
from evalkit.errors import ConfigError, DataError
from evalkit.stats.intervals import mean_interval
from evalkit.tasks import load_task

PAIRS = ("deu-eng", "swh-eng", "jpn-eng")
OTHERS = ("cmn-eng", "fra-eng", "rus-eng", "spa-eng")


@pytest.fixture
def tatoeba(tmp_path, data_dir):
    """The folder of Tatoeba with a task.yaml."""
    folder = tmp_path / "tatoeba"
    folder.mkdir()
    for pair in (*PAIRS, *OTHERS):
        (folder / f"{pair}.jsonl").write_bytes((data_dir / "tatoeba" / f"{pair}.jsonl").read_bytes())
    splits = ", ".join(f"{pair}: {pair}.jsonl" for pair in (*PAIRS, *OTHERS))
    (folder / "task.yaml").write_text(f"type: bitext\nsplits: {{{splits}}}\n")
    return folder


@pytest.mark.parametrize("pair", [*PAIRS, *(pytest.param(pair, marks=pytest.mark.slow) for pair in OTHERS)])
def test_scores_are_mteb_s(pair, tatoeba, feed, potion, plain_potion):
    task = load_task(f"{tatoeba}?split={pair}")
    rows = {"sentence1": list(task.first), "sentence2": list(task.second)}
    feed("Tatoeba", {pair: DatasetDict(test=Dataset.from_dict(rows))})
    found = evalkit.run(models=[potion, f"{potion}?similarity=cosine"], tasks=f"{tatoeba}?split={pair}", device="cpu")
    expected = by_mteb(plain_potion, mteb.get_task("Tatoeba", hf_subsets=[pair]))
    scores = found.scores.drop_duplicates("metric").set_index("metric")
    for metric in ("f1", "accuracy", "precision"):
        assert scores.loc[metric, "score"] == pytest.approx(expected[metric], abs=1e-6), metric
    assert scores.loc["accuracy", "score"] == pytest.approx(expected["recall"], abs=1e-6)
    assert set(scores["n"]) == {len(task.first)}
    assert (scores["ci_low"] < scores["score"]).all()
    assert found.main_metric("tatoeba", pair).name == "f1"
    assert found.leaderboard()["tied"].all(), "two names of one model"


@pytest.mark.slow
def test_the_interval_of_f1_covers_what_all_sentences_score(tatoeba):
    """Samples of sentences, each mined among as many as there are: the F1 of an item depends on the others."""
    model = "sbert:all-MiniLM-L6-v2"
    found = evalkit.run(models=model, tasks=f"{tatoeba}?split=deu-eng", device="cpu", max_queries=400)
    records = found.records[found.records["metric"] == "f1"]
    values, truth = records["value"].to_numpy(), records["value"].mean()
    rng = np.random.default_rng(0)
    for n in (25, 50, 200):
        drawn = values[rng.integers(len(values), size=(n, 4000))]
        low, high = mean_interval(drawn)
        assert np.mean((low <= truth) & (truth <= high)) > 0.93, n


def test_faulty_data_and_samples(tatoeba):
    found = load_task(f"{tatoeba}?split=swh-eng", max_queries=7, seed=3)
    assert (len(found.first), found.sampled_from) == (7, 390)
    (tatoeba / "swh-eng.jsonl").write_text('{"sentence1": "a", "sentence2": " "}\n{"sentence1": "b"}\n')
    with pytest.raises(
        DataError, match=r"(?s)sentence2 with no text.*no field 'sentence2'|no field 'sentence2'.*no text"
    ):
        load_task(f"{tatoeba}?split=swh-eng")
    (tatoeba / "swh-eng.jsonl").write_text("")
    with pytest.raises(DataError, match="no pair of sentences"):
        load_task(f"{tatoeba}?split=swh-eng")
    with pytest.raises(ConfigError, match="has no vectors"):
        evalkit.run(models="bm25", tasks=f"{tatoeba}?split=deu-eng", device="cpu")
