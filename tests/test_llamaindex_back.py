"""The way back into LlamaIndex: embeddings, retrievers, the example, and the dataset format."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fakes import ranked, run
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import TextNode
from llamaindex_models import SecondFirst, SharedWords, TwoSided

import evalkit
from evalkit.compute import Compute
from evalkit.errors import ConfigError
from evalkit.integrations.llamaindex import EvalkitEmbedding, EvalkitRetriever, best_retriever, task_nodes
from evalkit.models._llamaindex import adapt
from evalkit.models.registry import build, parse_spec
from evalkit.tasks import load_task

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = 40


@pytest.fixture(scope="module")
def static(data_dir: Path) -> str:
    return f"static:{data_dir / 'potion-base-4m-int8'}"


def test_embedding_is_the_embedder_with_its_prompts(static: str):
    spec = f"{static}?query_prompt=ask:%20&document_prompt=doc:%20"
    embedder = build(parse_spec(spec), Compute())
    embedding = EvalkitEmbedding(spec, device="cpu", embed_batch_size=2)
    texts = ["revenue rose", "the board met", "cats sleep"]
    documents, query = embedder.encode(texts, "document"), embedder.encode(texts[:1], "query")[0]
    assert not np.allclose(query, documents[0])
    np.testing.assert_array_equal(embedding.get_text_embedding_batch(texts), documents)
    np.testing.assert_array_equal(embedding.get_text_embedding(texts[1]), documents[1])
    np.testing.assert_array_equal(embedding.get_query_embedding(texts[0]), query)
    np.testing.assert_array_equal(asyncio.run(embedding.aget_text_embedding_batch(texts)), documents)
    np.testing.assert_array_equal(asyncio.run(embedding.aget_text_embedding(texts[1])), documents[1])
    np.testing.assert_array_equal(asyncio.run(embedding.aget_query_embedding(texts[0])), query)
    assert embedding.model_name == spec


def test_there_and_back_is_the_same_model():
    component = TwoSided()
    there_and_back = EvalkitEmbedding(adapt(component))
    np.testing.assert_allclose(there_and_back.get_query_embedding("a"), component.get_query_embedding("a"), rtol=1e-6)


def test_a_model_that_learns_is_given_fitted():
    with pytest.raises(
        ConfigError, match=r"^'tfidf' learns from a corpus\. Build it, fit it, and give the object\.$"
    ):
        EvalkitEmbedding("tfidf")
    fitted = build(parse_spec("tfidf"), Compute()).fit(["a cat naps", "dogs bark"])
    vector = EvalkitEmbedding(fitted).get_text_embedding("a cat")
    np.testing.assert_array_equal(vector, fitted.encode(["a cat"], "document").toarray()[0])


def test_vector_store_index_ranks_as_the_grid(static: str):
    """LlamaIndex's own index over 395 real passages."""
    task = load_task("llamaindex-10k-val", max_queries=QUESTIONS)
    outcome = run([task], {"m": build(parse_spec(static), Compute())}, depth=5)
    index = VectorStoreIndex(task_nodes(task), embed_model=EvalkitEmbedding(static, device="cpu"))
    retriever = index.as_retriever(similarity_top_k=5)
    for query in task.queries:
        found = [each.node.node_id for each in retriever.retrieve(query.text)]
        assert found == ranked(outcome, task, "m")[query.id]


def _models(static: str) -> dict[str, object]:
    return {
        "bm25": "bm25", "tfidf": "tfidf", "static": static, "static256": f"{static}?dim=64",
        "words": SharedWords(), "reordered": SecondFirst(),
    }  # fmt: skip


@pytest.mark.parametrize("reranker", ["none", "bm25", "tfidf", "static256", "words", "reordered"])
@pytest.mark.parametrize("model", ["bm25", "tfidf", "static"])
def test_retriever_ranks_as_the_cell_of_the_grid(model: str, reranker: str, static: str):
    task = load_task("rag-mini", max_queries=QUESTIONS)
    sources = _models(static)

    def loaded(name: str):
        source = sources[name]
        return build(parse_spec(source), Compute()) if isinstance(source, str) else adapt(source)

    rerankers = {} if reranker == "none" else {"r": loaded(reranker)}
    outcome = run([task], {"m": loaded(model)}, rerankers, candidates=10, depth=5)
    retriever = EvalkitRetriever(
        task_nodes(task),
        sources[model],
        sources.get(reranker, "none"),
        candidates=10,
        similarity_top_k=5,
        device="cpu",
    )
    expected = ranked(outcome, task, "m", "r" if rerankers else "none")
    for query in task.queries:
        found = retriever.retrieve(query.text)
        assert [each.node.node_id for each in found] == expected[query.id][:5]
        scores = [each.score for each in found]
        assert scores == sorted(scores, reverse=True)


def test_retriever_returns_the_user_s_nodes_and_reads_their_metadata():
    nodes = [
        TextNode(id_="a", text="about nothing", metadata={"title": "zebra"}),
        TextNode(id_="b", text="about something else"),
        TextNode(id_="c", text="hidden", metadata={"secret": "zebra"}, excluded_embed_metadata_keys=["secret"]),
    ]
    (found,) = EvalkitRetriever(nodes, "bm25", no_store=True).retrieve("zebra")
    assert found.node is nodes[0]
    assert EvalkitRetriever(nodes, "bm25", "bm25", no_store=True).retrieve("unheard of") == []
    assert asyncio.run(EvalkitRetriever(nodes, "bm25", no_store=True).aretrieve("zebra"))[0].node is nodes[0]
    with pytest.raises(ConfigError, match=r"^4 nodes with 3 different ids; give nodes, each once\.$"):
        EvalkitRetriever([*nodes, nodes[0]], "bm25", no_store=True)


def test_best_retriever_is_the_best_cell_with_its_settings():
    keys = {"tasks": ["rag-mini", "sts-mini"], "max_queries": 20, "top_k": [1, 3], "candidates": 7, "device": "cpu"}
    reordered = SecondFirst()
    results = evalkit.run(models=["bow", "tfidf"], rerankers=["bm25", ("reordered", reordered)], **keys)
    best = results.leaderboard().query("task == 'rag-mini'").iloc[0]
    assert best["reranker"] in ("bm25", "none")
    nodes = task_nodes("rag-mini")
    found = best_retriever(results, nodes)
    expected = EvalkitRetriever(
        nodes, best["model"], best["reranker"], similarity_top_k=3, candidates=7, device="cpu"
    )
    for query in load_task("rag-mini", max_queries=20).queries:
        assert found.retrieve(query.text) == expected.retrieve(query.text)
    assert len(best_retriever(results, nodes, similarity_top_k=2).retrieve("moon")) == 2
    with pytest.raises(ConfigError, match=r"^task='sts-mini' leaves 0 retrieval tasks of the run: \. Name one\.$"):
        best_retriever(results, nodes, task="sts-mini")
    only = evalkit.run(models=[("mine", TwoSided())], **{**keys, "tasks": "rag-mini"})
    with pytest.raises(ConfigError, match=r"'mine' was an object, .*TwoSided: give it in models={'mine': \.\.\.}\.$"):
        best_retriever(only, nodes)
    assert len(best_retriever(only, nodes, models={"mine": TwoSided()}).retrieve("moon")) == 3


@pytest.mark.slow
def test_the_example_runs_offline():
    done = subprocess.run(
        [sys.executable, ROOT / "examples/llamaindex_pipeline.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("best: ")
    listed = [line.split(":")[0].split(" ")[1] for line in lines[1:6]]
    assert lines[6] == "query engine: " + ", ".join(listed)
    assert len(lines[7].removeprefix("vector index: ").split(", ")) == 5


def test_export_is_what_llamaindex_wrote(evalkit, data_dir: Path, tmp_path: Path):
    """The 10-K questions as LlamaIndex saved them, through our task and back."""
    published = data_dir / "llamaindex-10k-val/val_dataset.json"
    code, out, _ = evalkit("export", "llamaindex", published, "-o", tmp_path / "qa.json")
    assert (code, out) == (0, f"Written to {tmp_path / 'qa.json'}: 790 queries, 395 documents.\n")
    original, written = json.loads(published.read_text()), json.loads((tmp_path / "qa.json").read_text())
    assert written.pop("mode") == "text"
    assert written == {key: original[key] for key in ("queries", "corpus", "relevant_docs")}
    assert load_task(str(tmp_path / "qa.json")).content_hash == load_task(str(published)).content_hash


def test_round_trip_of_cranfield_loses_titles_and_nothing_that_models_read(evalkit, data_dir: Path, tmp_path: Path):
    code, _, err = evalkit(
        "export", "llamaindex", data_dir / "cranfield", "-o", tmp_path / "qa.json", "--on-bad-data", "warn"
    )
    assert code == 0, err
    with pytest.warns(UserWarning, match="document with no text"):
        before = load_task(str(data_dir / "cranfield"), on_bad_data="warn")
    with pytest.warns(UserWarning, match="document with no text"):
        after = load_task(str(tmp_path / "qa.json"), on_bad_data="warn")
    assert [each.content for each in after.corpus] == [each.content for each in before.corpus]
    assert [(each.id, each.text) for each in after.queries] == [(each.id, each.text) for each in before.queries]
    for query, grades in before.qrels.items():
        assert set(after.qrels[query]) == {document for document, grade in grades.items() if grade > 0}


def test_export_says_what_the_format_cannot_hold(evalkit, tmp_path: Path):
    code, out, _ = evalkit("export", "llamaindex", "rag-mini", "-o", tmp_path / "qa.json")
    task = load_task("rag-mini")
    other = sum(grade not in (0, 1) for grades in task.qrels.values() for grade in grades.values())
    assert code == 0
    assert other > 0
    assert f"The format has no grades: {other} judgements had one other than 1 and are now just relevant." in out
    assert evalkit("export", "llamaindex", "sts-mini", "-o", tmp_path / "x.json")[0] == 2
    code, _, err = evalkit("export", "llamaindex", "rag-mini", "-o", tmp_path / "no" / "such.json")
    assert (code, err) == (
        2,
        f"error: cannot write {tmp_path}/no/such.json: No such file or directory. Choose another file.\n",
    )
