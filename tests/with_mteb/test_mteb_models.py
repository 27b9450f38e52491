"""Models of mteb's registry as ours: the entries are mteb's, the weights are local."""

import shutil

import mteb
import numpy as np
import pytest
from datasets import Dataset
from mteb.models import CrossEncoderWrapper
from mteb.models.model_implementations import MODEL_REGISTRY
from mteb.models.model_meta import ScoringFunction
from mteb.types import PromptType
from safetensors.numpy import load_file, save_file
from torch.utils.data import DataLoader

import evalkit as package
from evalkit.compute import Compute
from evalkit.errors import ConfigError, ModelNotFoundError, UnknownNameError
from evalkit.models.registry import build, parse_spec

E5 = "intfloat/e5-base-v2"
TEXTS = ["a red car", "two dogs bark at the postman", "a red car", "rain"]


def batches(texts):
    return DataLoader(Dataset.from_dict({"text": texts}), batch_size=32)


def by_mteb(name, texts, task, prompt_type):
    model = mteb.get_model(name, device="cpu")
    how = {"task_metadata": mteb.get_task(task).metadata, "hf_split": "test", "hf_subset": "default"}
    return np.asarray(model.encode(batches(texts), prompt_type=prompt_type, show_progress_bar=False, **how))


ROLES = [("query", PromptType.query), ("document", PromptType.document), ("sentence", None)]


def test_vectors_are_those_that_mteb_gives(entry, minilm):
    entry(E5, minilm)
    model = build(parse_spec(f"mteb:{E5}"), Compute())
    assert [model.prompt(role) for role, _ in ROLES] == ["query: ", "passage: ", ""]
    vectors = {role: model.encode(TEXTS, role) for role, _ in ROLES}
    for role, prompt_type in ROLES:
        np.testing.assert_allclose(vectors[role], by_mteb(E5, TEXTS, "SciFact", prompt_type), atol=1e-6)
    assert np.abs(vectors["query"] - vectors["sentence"]).max() > 1e-3
    assert np.abs(vectors["query"] - vectors["document"]).max() > 1e-3


def test_prompts_go_by_task_then_type_then_role(entry, minilm):
    prompts = {"SciFact-query": "claim: ", "STS": "alike: ", "query": "query: ", "Retrieval-document": "text: "}
    entry(E5, minilm, loader_kwargs={"model_prompts": prompts})
    model = build(parse_spec(f"mteb:{E5}"), Compute())
    told = {
        task: tuple(model.for_task(task).prompt(role) for role, _ in ROLES)
        for task in ("mteb:SciFact", "mteb:ArguAna", "mteb:STSBenchmark", "my own")
    }
    assert told == {
        "mteb:SciFact": ("claim: ", "text: ", ""),
        "mteb:ArguAna": ("query: ", "text: ", ""),
        "mteb:STSBenchmark": ("alike: ", "alike: ", "alike: "),
        "my own": ("query: ", "text: ", "alike: "),
    }
    scifact = model.for_task("mteb:SciFact")
    for role, prompt_type in ROLES:
        expected = by_mteb(E5, TEXTS, "SciFact", prompt_type)
        np.testing.assert_allclose(scifact.encode(TEXTS, role), expected, atol=1e-6)
    assert scifact.identity != model.identity
    assert scifact.raw_identity == model.raw_identity


def test_a_run_has_mteb_s_score_with_the_prompts_of_the_task(entry, minilm, feed, sts_data):
    from datasets import DatasetDict

    few = DatasetDict(test=sts_data["test"].select(range(60)))
    task = feed("STSBenchmark", few)
    entry(E5, minilm, loader_kwargs={"model_prompts": {"STSBenchmark": "Weather, sports and cats. "}})
    results = package.run(models=f"mteb:{E5},sbert:all-MiniLM-L6-v2", tasks="mteb:STSBenchmark", device="cpu")
    scores = results.scores[results.scores["metric"] == "spearman(cosine)"].set_index("model")["score"]
    expected = mteb.evaluate(mteb.get_model(E5, device="cpu"), task, cache=None, co2_tracker=False)
    assert scores[f"mteb:{E5}"] == pytest.approx(expected.task_results[0].main_score, abs=1e-6)
    assert scores[f"mteb:{E5}"] != scores["sbert:all-MiniLM-L6-v2"]
    facts = results.provenance["models"][f"mteb:{E5}"]
    assert (facts["family"], facts["weights"], facts["licence"], facts["max_length"]) == ("mteb", E5, "mit", 512)
    assert facts["revision"] == "1c644c92ad3ba1efdad3f1451a637716616a20e8"
    assert facts["dim"] == 384, "of its vectors, which are not those that the registry tells of"
    assert facts["price"] is None, "the registry has models behind paid APIs too"


def test_options_derive_from_one_encoding_and_weights_are_in_the_identity(entry, minilm, data_dir):
    entry(E5, minilm)
    full = build(parse_spec(f"mteb:{E5}"), Compute())
    short = build(parse_spec(f"mteb:{E5}?dim=64&normalize=true"), Compute())
    assert short.raw_identity == full.raw_identity
    expected = full.encode(TEXTS, "sentence")[:, :64]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(short.encode(TEXTS, "sentence"), expected, atol=1e-6)
    half = build(parse_spec(f"mteb:{E5}"), Compute("cpu", "bfloat16"))
    assert half.raw_identity != full.raw_identity
    full._model.model[0].auto_model.embeddings.LayerNorm.weight.data += 1
    from evalkit.models.mteb import _settle

    assert _settle(full._model, Compute())["weights"] != full.raw_identity["weights"]


def test_weights_that_are_missing_are_an_error(entry, minilm, tmp_path):
    folder = shutil.copytree(minilm, tmp_path / "model")
    weights = load_file(folder / "model.safetensors")
    lost = next(name for name in weights if name.endswith("layer.0.attention.self.query.weight"))
    (folder / "model.safetensors").unlink()
    save_file({name: value for name, value in weights.items() if name != lost}, folder / "model.safetensors")
    entry(E5, folder)
    with pytest.raises(ModelNotFoundError, match=f"mteb's .*1 missing from the files: .*{lost}"):
        build(parse_spec(f"mteb:{E5}"), Compute())


def test_other_wrappers_are_told_the_task_and_share_nothing_between_tasks(monkeypatch):
    told = []

    class Wrapper:
        def encode(self, inputs, *, task_metadata, prompt_type=None, **_):
            told.append((task_metadata.name, prompt_type))
            return np.ones((sum(len(batch["text"]) for batch in inputs), 3))

        def similarity(self, a, b): ...

        def similarity_pairwise(self, a, b): ...

    meta = MODEL_REGISTRY[E5].model_copy(update={"loader": lambda *_, **__: Wrapper()})
    monkeypatch.setitem(MODEL_REGISTRY, E5, meta)
    model = build(parse_spec(f"mteb:{E5}"), Compute())
    model.for_task("mteb:SciFact").encode(TEXTS, "query")
    assert told == [("SciFact", PromptType.query)]
    prompts = {model.for_task(task).prompt(role) for task in ("mteb:SciFact", "mteb:ArguAna") for role, _ in ROLES}
    assert len(prompts) == 6
    assert model.similarity == "cosine"
    dot = meta.model_copy(update={"similarity_fn_name": ScoringFunction.DOT_PRODUCT})
    monkeypatch.setitem(MODEL_REGISTRY, E5, dot)
    assert build(parse_spec(f"mteb:{E5}"), Compute()).similarity == "dot"


def test_a_cross_encoder_is_a_reranker(entry, data_dir):
    name = "cross-encoder/ms-marco-MiniLM-L6-v2"
    name = name if name in MODEL_REGISTRY else next(n for n, m in MODEL_REGISTRY.items() if m.is_cross_encoder)
    entry(name, data_dir / "ce-minilm", CrossEncoderWrapper, loader_kwargs={}, extra_requirements_groups=None)
    how = {"models": "bm25", "tasks": "rag-mini", "device": "cpu", "max_queries": 4, "candidates": 20}
    results = package.run(rerankers=f"mteb:{name}", **how)
    plain = package.run(rerankers=f"ce:{data_dir / 'ce-minilm'}", **how)
    assert not results.failures
    assert results.scores["score"].tolist() == pytest.approx(plain.scores["score"].tolist())
    with pytest.raises(ConfigError, match="is a reranker; here only embedder or retriever can stand"):
        package.run(models=f"mteb:{name}", tasks="rag-mini", device="cpu")


def test_a_search_model_is_a_retriever(monkeypatch):
    class Overlap:
        """Ranks by the number of shared words."""

        def index(self, corpus, **_):
            self.corpus = {row["id"]: set(row["text"].lower().split()) for row in corpus}

        def search(self, queries, *, top_k, **_):
            found = {}
            for row in queries:
                words = set(row["text"].lower().split())
                counts = {key: float(len(words & text)) for key, text in self.corpus.items() if words & text}
                found[row["id"]] = dict(sorted(counts.items(), key=lambda each: -each[1])[:top_k])
            return found

    meta = MODEL_REGISTRY["mteb/baseline-bm25s"].model_copy(
        update={"loader": lambda *_, **__: Overlap(), "extra_requirements_groups": None}
    )
    monkeypatch.setitem(MODEL_REGISTRY, "mteb/baseline-bm25s", meta)
    model = build(parse_spec("mteb:mteb/baseline-bm25s"), Compute()).fit(["cats sleep", "dogs bark", "dogs sleep"])
    run = model.search(["dogs sleep", "zebra"], ["9", "10", "a"], 3)
    assert run.documents.tolist() == [[2, 0, 1], [-1, -1, -1]]
    results = package.run(models="mteb:mteb/baseline-bm25s", tasks="rag-mini", device="cpu")
    assert not results.failures
    assert results.scores.set_index("metric").loc["hit_rate@5", "score"] > 0.3


def test_names_that_the_registry_lacks_or_cannot_run(monkeypatch):
    with pytest.raises(UnknownNameError, match="Did you mean 'intfloat/e5-base-v2'"):
        build(parse_spec("mteb:intfloat/e5-base-v22"), Compute())
    monkeypatch.setitem(MODEL_REGISTRY, E5, MODEL_REGISTRY[E5].model_copy(update={"loader": None}))
    with pytest.raises(ModelNotFoundError, match="nothing that runs it"):
        build(parse_spec(f"mteb:{E5}"), Compute())


def test_an_unknown_name_is_told_before_anything_is_run():
    with pytest.raises(UnknownNameError, match="mteb's registry has no model 'no/such'"):
        package.run(models="bow,mteb:no/such", tasks="rag-mini", device="cpu")


def test_the_command_line_shows_the_registry(evalkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    status, shown, _ = evalkit("models", "mteb:e5-base-v2")
    row = next(line for line in shown.splitlines() if "mteb:intfloat/e5-base-v2" in line)
    assert status == 0
    for fact in ("dense", "768", "512", "mit", "1c644c92ad3ba1efdad3f1451a637716616a20e8", "query: 'query: '"):
        assert fact in row


def test_a_tokenizer_that_knows_no_word_is_an_error(entry, minilm, tmp_path):
    folder = shutil.copytree(minilm, tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        (folder / name).unlink(missing_ok=True)
    entry(E5, folder)
    with pytest.raises(ModelNotFoundError, match=r"mteb's .* no files of a tokenizer with words"):
        build(parse_spec(f"mteb:{E5}"), Compute())
