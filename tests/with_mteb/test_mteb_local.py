"""Our tasks and embedders as mteb's objects: `mteb.evaluate` gives the scores that we give."""

from dataclasses import replace

import mteb
import numpy as np
import pytest
from datasets import concatenate_datasets
from fakes import FakeEmbedder, failures, retrieval_task, run, sts_task

import evalkit as package
from evalkit.compute import Compute
from evalkit.errors import ConfigError, DataError, VectorError
from evalkit.integrations.mteb import as_mteb_model, as_mteb_task, load_tasks
from evalkit.metrics.similarity import paired_similarities
from evalkit.models.registry import build, parse_spec
from evalkit.store import Store, default_root
from evalkit.tasks import load_task
from evalkit.types import StsTask

MINILM = "sbert:all-MiniLM-L6-v2"


def run_by_mteb(model, task):
    return mteb.evaluate(model, task, cache=None, co2_tracker=False).task_results[0].scores[task.eval_splits[0]][0]


def ours(results):
    return dict(zip(results.scores["metric"], results.scores["score"], strict=True))


def made(spec):
    return build(parse_spec(spec), Compute())


def test_sts_b_by_minilm(data_dir):
    """Spearman 0.8203: published, and what mteb gives our model on our task."""
    reference = f"{data_dir / 'stsb-en'}?split=test"
    found = ours(package.run(models=MINILM, tasks=reference, device="cpu"))
    model = as_mteb_model(made("sbert:sentence-transformers/all-MiniLM-L6-v2"), store=Store(default_root()))
    theirs = run_by_mteb(model, as_mteb_task(load_task(reference)))
    assert found["spearman(cosine)"] == pytest.approx(0.8203, abs=5e-5)
    assert theirs["main_score"] == pytest.approx(0.8203, abs=5e-5)
    for similarity in ("cosine", "euclidean", "manhattan"):
        for kind in ("spearman", "pearson"):
            assert found[f"{kind}({similarity})"] == pytest.approx(theirs[f"{similarity}_{kind}"], abs=1e-6)


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("potion", "llamaindex-10k-val"),
        ("tfidf", "llamaindex-10k-val"),
        pytest.param("potion", "cranfield", marks=pytest.mark.slow),
        pytest.param("tfidf", "cranfield", marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore::evalkit.tasks.DataWarning")  # Cranfield has two empty documents
def test_retrieval(name, spec, data_dir, potion, monkeypatch):
    kept = {}

    def keep(self, scores, qrels, results, **_):
        kept.update(
            {metric: np.mean([of[metric] for of in scores.values()]) for metric in next(iter(scores.values()))}
        )
        return {}

    monkeypatch.setattr("mteb.abstasks.retrieval.AbsTaskRetrieval.task_specific_scores", keep)
    spec = potion if spec == "potion" else spec
    path = str(data_dir / name)
    found = ours(package.run(models=spec, tasks=path, top_k=[1, 10], device="cpu", on_bad_data="warn"))
    theirs = run_by_mteb(as_mteb_model(made(spec)), as_mteb_task(load_task(path, on_bad_data="warn")))
    for k in (1, 10):
        for metric, trec in (("nDCG", "ndcg_cut"), ("AP", "map_cut"), ("R", "recall"), ("hit_rate", "success")):
            assert found[f"{metric}@{k}"] == pytest.approx(kept[f"{trec}_{k}"], abs=1e-6)
        assert found[f"MRR@{k}"] == pytest.approx(theirs[f"mrr_at_{k}"], abs=1e-6)


def test_ties_go_by_document_id_inside_mteb_too():
    corpus = dict.fromkeys(("9", "10", "a", "2"), "same")
    task = retrieval_task(corpus, {"q": "ask"}, {"q": {"9": 1.0}})
    model = FakeEmbedder({"same": (1.0, 2.0), "ask": (1.0, 1.0)})
    theirs = run_by_mteb(as_mteb_model(model), as_mteb_task(task))
    assert theirs["mrr_at_10"] == 0.5  # a, 9, 2, 10


def test_documents_with_the_id_of_the_query_are_left_out_if_the_task_says_so():
    task = replace(
        retrieval_task({"1": "one", "2": "two"}, {"1": "one"}, {"1": {"2": 1.0}}), not_for_themselves=frozenset({"1"})
    )
    model = FakeEmbedder({"one": (1.0, 0.1), "two": (1.0, 1.0)})
    assert run_by_mteb(as_mteb_model(model), as_mteb_task(task))["mrr_at_10"] == 1.0


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarities_inside_mteb(similarity):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4, 3)).astype(np.float32)
    model = as_mteb_model(FakeEmbedder({}, similarity))
    expected = paired_similarities(a, b)[similarity]
    np.testing.assert_allclose(model.similarity_pairwise(a, b), expected, atol=1e-6)
    np.testing.assert_allclose(np.diag(model.similarity(a, b)), expected, atol=1e-6)


def test_grades_that_mteb_cannot_take_and_names_it_does_not_know():
    uneven = retrieval_task({"1": "one"}, {"q": "ask"}, {"q": {"1": 0.5}})
    with pytest.raises(ConfigError, match="not whole numbers"):
        as_mteb_task(uneven)
    with pytest.raises(ConfigError, match="ORG/NAME, got 'mine'"):
        as_mteb_model(FakeEmbedder({}), "mine")


# --- the traps of PEERS.md and ANCHORS.md


def test_changed_data_is_not_served_the_old_score_from_mteb_s_cache(tmp_path):
    """A result cache that ignores the data's revision: mteb's own, with one task of ours in two states."""
    vectors = {"a": (1.0, 0.0), "b": (1.0, 0.2), "c": (0.0, 1.0), "d": (0.7, 0.7)}
    model, cache = as_mteb_model(FakeEmbedder(vectors, "cosine")), mteb.ResultCache(tmp_path)
    pairs = [("a", "b"), ("a", "c"), ("a", "d"), ("b", "c")]

    def score(gold):
        rows = [(*pair, value) for pair, value in zip(pairs, gold, strict=True)]
        task: StsTask = sts_task(rows)
        result = mteb.evaluate(model, as_mteb_task(task), cache=cache, co2_tracker=False)
        return result.task_results[0].main_score

    assert score([5.0, 0.0, 3.0, 1.0]) == pytest.approx(1.0)
    assert score([0.0, 5.0, 2.0, 4.0]) == pytest.approx(-1.0)


def test_one_store_and_one_cache_never_mix_models(tmp_path, potion, data_dir):
    """A cache keyed by text and task but not by model or prompt."""
    store, cache = Store(tmp_path / "store"), mteb.ResultCache(tmp_path / "cache")
    whole = load_task(f"{data_dir / 'stsb-en'}?split=test", max_queries=60)
    task = as_mteb_task(whole)
    specs = [potion, f"{potion}?dim=8", f"{potion}?sentence_prompt=unrelated words before"]

    def score(spec, **how):
        model = as_mteb_model(made(spec), "evalkit/one-name", **how)
        return mteb.evaluate(model, task, cache=cache if how else None, co2_tracker=False).task_results[0].main_score

    shared = [score(spec, store=store) for spec in specs]
    assert len(set(shared)) == 3
    assert shared == [score(spec) for spec in specs]


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_vectors_that_cannot_be_scored_raise_in_mteb_s_evaluators(value, fed_kinds):
    """NaN vectors that score 0.75 and raise nothing."""

    class Spoilt(FakeEmbedder):
        def encode(self, texts, role, advance=None):
            return np.full((len(texts), 4), value, dtype=np.float32)

    with pytest.raises(VectorError):
        run_by_mteb(as_mteb_model(Spoilt({})), mteb.get_task("Banking77Classification"))


def test_a_model_with_vectors_that_cannot_be_scored_is_a_failed_cell(fed_kinds):
    class Spoilt(FakeEmbedder):
        def encode(self, texts, role, advance=None):
            return np.full((len(texts), 4), np.nan, dtype=np.float32)

    task = load_tasks("mteb:Banking77Classification")[0]
    outcome = run([task], {"spoilt": Spoilt({})})
    assert "vectors that are not finite" in failures(outcome)[task.name, "spoilt", "none"]
    assert not outcome.values


def test_repeated_ids_and_judgements_of_absent_documents_are_told(feed, fed_kinds, cranfield):
    """Duplicate ids and qrels for absent documents accepted in silence; in tasks of ours and of mteb's evaluators."""
    for name in ("SciFact", "SciDocsRR"):
        data = cranfield()
        split = data["default"]["test"]
        split["corpus"] = concatenate_datasets([split["corpus"], split["corpus"].select([0])])
        split["relevant_docs"]["1"] = {**split["relevant_docs"]["1"], "absent": 1}
        split["top_ranked"] = {query: ["1"] for query in split["queries"]["id"]} if name == "SciDocsRR" else None
        feed(name, data)
        with pytest.raises(DataError) as caught:
            load_tasks(f"mteb:{name}")
        assert "repeated document id (1): '1'" in str(caught.value)
        assert "judgement of an absent document (1): 'absent' (query '1')" in str(caught.value)


@pytest.mark.slow
def test_changed_data_changes_hash_and_score_of_an_evaluator_s_task(feed, fed_kinds, potion):
    name = "mteb:Banking77Classification"
    before = package.run(models=potion, tasks=name, device="cpu")
    task = load_tasks(name)[0]
    data = mteb.get_task("Banking77Classification")
    data.load_data()
    changed = data.dataset
    changed["test"] = changed["test"].map(lambda row: {**row, "label": (row["label"] + 1) % 6})
    feed("Banking77Classification", changed)
    assert load_tasks(name)[0].content_hash != task.content_hash
    after = package.run(models=potion, tasks=name, device="cpu")
    assert ours(after)["accuracy"] < ours(before)["accuracy"]
