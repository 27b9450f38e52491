"""Result files of mteb, written from a run and read as published figures."""

import json
import math

import mteb
import pandas as pd
import pytest
from datasets import Dataset, DatasetDict
from mteb.models import ModelMeta

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.integrations.mteb.export import export_results
from evalkit.integrations.mteb.published import COLUMNS, read_published
from evalkit.tasks import DataWarning

E5 = "intfloat/e5-base-v2"


def strict(path):
    def refuse(constant):
        raise AssertionError(f"{path} holds {constant}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


@pytest.fixture
def run_folder(feed, fed_kinds, sts_data, cranfield, potion, tmp_path):
    """A run of a model and a reranker on tasks of mteb of three kinds, and on one of ours."""
    feed("STSBenchmark", few(sts_data, 100))
    feed("SciFact", cranfield)
    tasks = [
        "mteb:STSBenchmark", "mteb:SciFact", "mteb:Tatoeba?subset=deu-eng", "mteb:Tatoeba?subset=fra-eng",
        "sts-mini",
    ]  # fmt: skip
    folder = tmp_path / "run"
    package.run(models=potion, tasks=tasks, rerankers="tfidf", top_k=[5, 10], device="cpu", out=folder)
    return folder


def few(data, count):
    return DatasetDict(test=data["test"].select(range(count)))


def test_mteb_s_loaders_read_what_is_exported(evalkit, run_folder, tmp_path):
    out = tmp_path / "cache"
    status, shown, _ = evalkit("export", "mteb", run_folder, "-o", out)
    assert (status, shown) == (0, f"5 result file(s) written under {out}.\n")
    files = sorted(out.rglob("*.json"))
    assert all(strict(file) for file in files)
    results = package.Results.read(run_folder)
    loaded = mteb.ResultCache(out).load_results(tasks=["STSBenchmark", "SciFact", "Tatoeba"])
    assert isinstance(loaded, mteb.BenchmarkResults)
    names = {model.model_name for model in loaded.model_results}
    assert names == {"evalkit/static-potion-base-4m-int8", "evalkit/static-potion-base-4m-int8+tfidf"}
    plain = next(model for model in loaded.model_results if "+" not in model.model_name)
    assert {result.task_name for result in plain.task_results} == {"STSBenchmark", "SciFact", "Tatoeba"}
    first = results.scores[results.scores["reranker"] == "none"]
    expected = {(row.task, row.metric): row.score for row in first.itertuples()}
    for result in plain.task_results:
        for split, subsets in result.scores.items():
            assert split == "test"
            for scores in subsets:
                subset = scores["hf_subset"]
                name = f"mteb:{result.task_name}" + ("" if subset == "default" else f"?subset={subset}")
                main = {"STSBenchmark": "spearman(cosine)", "SciFact": "nDCG@10", "Tatoeba": "f1"}[result.task_name]
                assert scores["main_score"] == expected[name, main]
    tatoeba = next(result for result in plain.task_results if result.task_name == "Tatoeba")
    assert set(tatoeba.hf_subsets) == {"deu-eng", "fra-eng"}
    assert set(tatoeba.languages) == {"deu", "eng", "fra"}
    table = mteb.ResultCache(out).load_results(tasks=mteb.get_tasks(["STSBenchmark", "SciFact"])).to_dataframe()
    assert set(table["task_name"]) == {"STSBenchmark", "SciFact"}
    checked = mteb.ResultCache(out).load_results(tasks=mteb.get_tasks(["STSBenchmark"]), validate_and_filter=True)
    assert not math.isnan(checked.model_results[0].task_results[0].main_score)
    for file in files:
        if file.name != "model_meta.json":
            assert mteb.TaskResult.from_disk(file, load_historic_data=False).mteb_version


def test_a_model_of_the_registry_is_exported_under_its_own_name(feed, sts_data, entry, minilm, tmp_path, monkeypatch):
    """Then mteb's leaderboard, which shows models of its registry only, has a row of it."""
    # Which tasks each model of the registry has seen is a column of its own, and takes most of the time.
    monkeypatch.setattr(ModelMeta, "get_training_datasets", lambda self: None)
    feed("STSBenchmark", few(sts_data, 60))
    meta = entry(E5, minilm)
    results = package.run(models=[f"mteb:{E5}", f"mteb:{E5}?dim=64"], tasks="mteb:STSBenchmark", device="cpu")
    export_results(results, tmp_path)
    cache = mteb.ResultCache(tmp_path)
    assert cache.load_task_result("STSBenchmark", meta) is not None
    assert (tmp_path / "results" / "evalkit__mteb-e5-base-v2-dim-64").is_dir(), "with options it is another model"
    benchmark = mteb.Benchmark(name="Small", tasks=mteb.get_tasks(["STSBenchmark"]))
    board = cache.load_results(tasks=benchmark).get_benchmark_result()
    assert len(board) == 1
    assert "e5-base-v2" in board["Model"].item()
    scores = results.scores[results.scores["metric"] == "spearman(cosine)"].set_index("model")["score"]
    assert board["STS"].item() == pytest.approx(scores[f"mteb:{E5}"], abs=1e-4)


def test_what_cannot_be_exported(feed, sts_data, cranfield, tmp_path):
    feed("SciFact", cranfield)
    five = package.run(models="bow", tasks="mteb:SciFact", device="cpu", top_k=5)
    with pytest.raises(ConfigError, match=r"no ndcg_at_10 of 'mteb:SciFact'.*--top-k 10"):
        export_results(five, tmp_path)
    sample = package.run(models="bow", tasks="mteb:SciFact", device="cpu", top_k=10, max_queries=5)
    with pytest.raises(ConfigError, match="scored a sample of 5"):
        export_results(sample, tmp_path)


def test_undefined_scores_are_left_out_and_never_zero(feed, tmp_path):
    rows = [{"sentence1": "one", "sentence2": "two", "score": float(score)} for score in range(5)]
    feed("STSBenchmark", DatasetDict(test=Dataset.from_list(rows)))
    results = package.run(models="bow", tasks="mteb:STSBenchmark", device="cpu")
    assert results.scores["score"].isna().all()
    assert export_results(results, tmp_path) == []


def published(folder, model, revision, task, scores, meta=True):
    """A file as in mteb's own repository of results."""
    place = folder / "results" / model.replace("/", "__") / revision
    place.mkdir(parents=True, exist_ok=True)
    content = {
        "dataset_revision": "1", "task_name": task, "mteb_version": "2.26.0", "evaluation_time": 1.0,
        "kg_co2_emissions": None, "scores": scores,
    }  # fmt: skip
    (place / f"{task}.json").write_text(json.dumps(content))  # json writes bare NaN, as mteb does
    if meta:
        (place / "model_meta.json").write_text(json.dumps({"name": model, "revision": revision}))


def test_published_results_are_rows_of_reference(evalkit, tmp_path):
    where = {"hf_subset": "default", "languages": ["eng-Latn"]}
    cache = tmp_path / "cache" / "remote"
    sts = {**where, "main_score": 0.82, "cosine_spearman": 0.82, "manhattan_pearson": 0.8, "spearman": math.nan}
    retrieval = {**where, "main_score": 0.71, "ndcg_at_10": 0.71, "hit_rate_at_5": 0.8, "nauc_mrr_at_1_std": 0.1}
    bitext = [
        {"hf_subset": subset, "languages": ["deu-Latn"], "main_score": score, "f1": score, "accuracy": score}
        for subset, score in (("deu-eng", 0.9), ("fra-eng", 0.8))
    ]
    published(cache, "org/first", "abcdef1234567", "STSBenchmark", {"test": [sts]})
    published(cache, "org/first", "abcdef1234567", "SciFact", {"test": [retrieval]})
    published(cache, "org/second", "1", "Tatoeba", {"test": bitext}, meta=False)
    out = tmp_path / "published.csv"
    status, shown, _ = evalkit("import", "mteb", cache, "-o", out)
    assert (status, shown) == (0, f"8 scores of 2 model(s) written to {out}.\n")
    rows = pd.read_csv(out)
    assert list(rows.columns) == COLUMNS
    found = {tuple(row) for row in rows[["task", "split", "model", "metric", "score"]].to_numpy().tolist()}
    assert found == {
        ("mteb:STSBenchmark", "test", "org/first", "spearman(cosine)", 0.82),
        ("mteb:STSBenchmark", "test", "org/first", "pearson(manhattan)", 0.8),
        ("mteb:SciFact", "test", "org/first", "nDCG@10", 0.71),
        ("mteb:SciFact", "test", "org/first", "hit_rate@5", 0.8),
        *(
            (f"mteb:Tatoeba?subset={subset}", "test", "org/second", metric, score)
            for subset, score in (("deu-eng", 0.9), ("fra-eng", 0.8))
            for metric in ("f1", "accuracy")
        ),
    }
    assert set(rows["reranker"]) == {"none"}
    assert rows["n"].isna().all()
    assert "mteb results, revision abcdef1234567, mteb 2.26.0" in set(rows["source"])


def test_revisions_of_a_model_are_told_apart(tmp_path):
    for revision, score in (("a" * 40, 0.1), ("b" * 40, 0.2)):
        scores = [{"hf_subset": "default", "languages": ["eng-Latn"], "main_score": score, "cosine_spearman": score}]
        published(tmp_path, "org/model", revision, "STSBenchmark", {"test": scores})
    rows = read_published(tmp_path)
    assert dict(zip(rows["model"], rows["score"], strict=True)) == {
        "org/model@aaaaaaa": 0.1,
        "org/model@bbbbbbb": 0.2,
    }
    one = read_published(tmp_path / "results" / "org__model" / ("a" * 40) / "STSBenchmark.json")
    assert one["model"].tolist() == ["org/model"]


@pytest.mark.slow
def test_an_exported_run_and_mteb_s_own_file_come_back_the_same(run_folder, tmp_path):
    export_results(package.Results.read(run_folder), tmp_path / "cache")
    rows = read_published(tmp_path / "cache")
    back = rows.set_index(["task", "model", "metric"])["score"]
    scores = package.Results.read(run_folder).scores
    plain = scores[(scores["reranker"] == "none") & scores["task"].astype(str).str.startswith("mteb:")]
    dot = plain["metric"].astype(str).str.endswith("(dot)")  # which mteb has none for
    assert dot.sum() == 2
    for row in plain[~dot].itertuples():
        assert back[row.task, "evalkit/static-potion-base-4m-int8", row.metric] == row.score
    whole = tmp_path / "whole.json"
    mteb.ResultCache(tmp_path / "cache").load_results().to_disk(whole)
    again = read_published(whole)
    assert len(again) == len(rows)


def test_files_that_are_no_results_are_told(tmp_path):
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ConfigError, match=r"holds no results of mteb. Could not read .*other.json"):
        read_published(tmp_path)
    with pytest.raises(ConfigError, match="does not exist"):
        read_published(tmp_path / "none")
    scores = [{"hf_subset": "default", "languages": ["eng-Latn"], "main_score": 0.5, "cosine_spearman": 0.5}]
    published(tmp_path, "org/model", "1", "STSBenchmark", {"test": scores})
    with pytest.warns(DataWarning, match=r"Left out, since they are no results of mteb: .*other.json"):
        assert len(read_published(tmp_path)) == 1
