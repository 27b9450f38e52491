"""LlamaIndex embeddings and postprocessors as models, against LlamaIndex itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from fakes import ranked, run, some_of_ten_k
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.postprocessor import LongContextReorder, SentenceTransformerRerank, SimilarityPostprocessor
from llama_index.core.schema import NodeWithScore, TextNode
from llamaindex_models import KEY, SecondFirst, SharedWords, Twice, TwoSided

from evalkit.compute import Compute
from evalkit.errors import ScoreError, SpecError, VectorError
from evalkit.models._llamaindex import LlamaIndexEmbedder, LlamaIndexListReranker, LlamaIndexReranker, adapt
from evalkit.models.registry import build, parse_spec, resolve
from evalkit.models.registry.options import DenseOptions
from evalkit.models.weights import locate
from evalkit.store import Store
from evalkit.store.keys import fingerprint
from evalkit.tasks import load_task
from evalkit.types import Document, Query, RetrievalTask

TEXTS = ["revenue rose", "revenue", "", "cats sleep all day", "revenue rose", "Was the revenue higher in 2021?"]
TASK = RetrievalTask(
    "pets",
    "test",
    tuple(
        Document(key, text)
        for key, text in zip("abcde", ["a cat", "a dog", "a cat naps", "cat", "fish"], strict=True)
    ),
    (Query("q1", "a cat naps"), Query("q2", "dog"), Query("q3", "cat")),
    {"q1": {"c": 1}, "q2": {"b": 1}, "q3": {"d": 1}},
    content_hash="hash",
)


def test_each_role_is_read_by_its_side_in_batches():
    component = TwoSided(embed_batch_size=4)
    embedder = LlamaIndexEmbedder(component)
    for role, side in (("query", "query"), ("document", "text"), ("sentence", "text")):
        finished: list[int] = []
        expected = np.array([component.vector(side, text) for text in TEXTS], dtype=np.float32)
        np.testing.assert_array_equal(embedder.encode(TEXTS, role, finished.append), expected)
        assert sum(finished) == len(TEXTS)
    sizes = [len(texts) for side, texts in component._calls.made if side == "text"]
    assert sizes == [4, 1, 4, 1], "five distinct texts, twice"


def test_mock_embedding():
    expected = MockEmbedding(embed_dim=3).get_text_embedding("a")
    np.testing.assert_array_equal(
        LlamaIndexEmbedder(MockEmbedding(embed_dim=3)).encode(["a"], "document"), [expected]
    )


def test_prompts_and_derived_vectors_are_ours():
    component = TwoSided()
    options = DenseOptions(query_prompt="ask: ", dim=3, normalize=True)
    found = LlamaIndexEmbedder(component, options).encode(["a"], "query")
    expected = np.array(component.vector("query", "ask: a")[:3])
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-6)
    with pytest.raises(SpecError, match=r"^max_length=9: set it on llamaindex_models\.TwoSided itself\.$"):
        LlamaIndexEmbedder(component, DenseOptions(max_length=9))


def test_the_store_tells_the_sides_apart(tmp_path: Path):
    """A text that is a query and a document has two vectors, and neither is computed a second time."""
    component = TwoSided()
    same = RetrievalTask("t", "s", TASK.corpus[:3], (Query("q1", "a cat"),), {"q1": {"a": 1}}, content_hash="hash")
    first = run([same], {"m": LlamaIndexEmbedder(component)}, depth=3, store=Store(tmp_path))
    calls = len(component._calls.made)
    again = run([same], {"m": LlamaIndexEmbedder(component)}, depth=3, store=Store(tmp_path))
    assert ranked(first, same, "m") == ranked(again, same, "m")
    assert len(component._calls.made) == calls == 2
    query = np.array(component.vector("query", "a cat"))
    by_hand = [
        query @ (document := np.array(component.vector("text", each.text))) / np.linalg.norm(document)
        for each in same.corpus
    ]
    assert ranked(first, same, "m")["q1"] == [same.corpus[row].id for row in np.argsort(by_hand)[::-1]]


def test_vectors_of_different_lengths_are_refused(monkeypatch):
    monkeypatch.setattr(TwoSided, "vector", lambda self, side, text: [1.0] * len(text))
    with pytest.raises(VectorError, match=r"TwoSided gave vectors of different lengths: \[1, 2\]\.$"):
        LlamaIndexEmbedder(TwoSided()).encode(["a", "bb"], "document")


def test_huggingface_embedding_is_our_sentence_transformer():
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding  # slow to import

    folder = str(locate("sentence-transformers/all-MiniLM-L6-v2"))
    ours = build(resolve("sbert:all-MiniLM-L6-v2"), Compute())
    theirs = build(
        parse_spec(
            f"llamaindex:llama_index.embeddings.huggingface.HuggingFaceEmbedding?model_name={folder}&embed_batch_size=3"
        ),
        Compute(),
    )
    itself = theirs.embedding
    assert isinstance(itself, HuggingFaceEmbedding)
    texts = [text for text in TEXTS if text]
    for role in ("query", "document"):
        np.testing.assert_allclose(theirs.encode(texts, role), ours.encode(texts, role), atol=1e-6)
    direct = np.array(itself.get_text_embedding_batch(texts))
    np.testing.assert_allclose(theirs.encode(texts, "sentence"), direct, atol=1e-6)
    identity = fingerprint(theirs.identity)
    assert folder not in json.dumps(theirs.identity), "weights are named by content, not by place"
    next(itself._model.parameters()).data[0, 0] += 1
    assert fingerprint(LlamaIndexEmbedder(itself).identity) != identity, "other weights"


def test_cross_encoder_postprocessor_is_our_cross_encoder(data_dir: Path):
    component = SentenceTransformerRerank(model=str(data_dir / "ce-minilm"), top_n=1, device="cpu")
    component._model.float()  # it keeps the checkpoint's float16 even on a CPU
    reranker = adapt(component)
    assert isinstance(reranker, LlamaIndexReranker)
    queries = ["how high was revenue", "how high was revenue", "do cats sleep", "how high was revenue"]
    documents = ["revenue rose to 17 billion", "cats sleep", "cats sleep", "the board met"]
    logits = build(parse_spec(f"ce:{data_dir / 'ce-minilm'}"), Compute()).score(queries, documents)
    found = reranker.score(queries, documents)
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-5)
    nodes = [NodeWithScore(node=TextNode(text=documents[row])) for row in (0, 1, 3)]
    (best,) = component.postprocess_nodes(nodes, query_str=queries[0])
    assert best.node.get_content() == documents[[0, 1, 3][int(np.argmax(found[[0, 1, 3]]))]]
    assert component.top_n == 1, "the user's own object is left as it is"


def test_pairs_are_pooled_and_a_query_is_one_call(tmp_path: Path):
    """Two first stages; the store keeps what was scored."""
    component = SharedWords()
    models = {"m": LlamaIndexEmbedder(TwoSided()), "n": LlamaIndexEmbedder(TwoSided(salt="other"))}
    outcome = run([TASK], models, {"r": LlamaIndexReranker(component)}, candidates=3, depth=3, store=Store(tmp_path))
    asked, pooled = component._calls.made[:-3], component._calls.made[-3:]
    assert len({query for query, _ in asked}) == 1, "one query, to see that it scores each document by itself"
    assert sorted(query for query, _ in pooled) == sorted(query.text for query in TASK.queries)
    for model in models:
        candidates = ranked(outcome, TASK, model)
        text = {document.id: document.text for document in TASK.corpus}
        for query in TASK.queries:
            listed = [NodeWithScore(node=TextNode(id_=key, text=text[key])) for key in candidates[query.id]]
            alone = SharedWords(top_n=3).postprocess_nodes(listed, query_str=query.text)
            assert ranked(outcome, TASK, model, "r")[query.id] == [node.node.node_id for node in alone]
    calls = len(component._calls.made)
    run([TASK], models, {"r": LlamaIndexReranker(component)}, candidates=3, depth=3, store=Store(tmp_path))
    assert len(component._calls.made) == calls


def test_a_pair_left_without_a_score_is_an_error():
    message = r"SharedWords left 2 of 2 documents without a score for the query 'a'\.$"
    with pytest.raises(ScoreError, match=message):
        LlamaIndexReranker(SharedWords(skip=True)).score(["a", "a"], ["b", "c"])


@pytest.mark.parametrize(
    "component", [SecondFirst(), LongContextReorder(), SimilarityPostprocessor(similarity_cutoff=0.2)]
)
@pytest.mark.parametrize("stored", [True, False])
def test_other_postprocessors_make_of_each_list_what_llamaindex_makes_of_it(
    component, stored: bool, tmp_path: Path, data_dir: Path
):
    """On 200 real questions, with the first stage's scores; what they leave out is no result."""
    task = load_task(some_of_ten_k(data_dir, tmp_path))
    assert len(task.queries) == 200
    reranker = adapt(component)
    assert isinstance(reranker, LlamaIndexListReranker)
    store = Store(tmp_path / "store") if stored else None
    outcome = run(
        [task], {"m": build(parse_spec("tfidf"), Compute())}, {"r": reranker}, candidates=4, depth=4, store=store
    )
    first = next(each for cell, each in outcome.rankings.items() if cell.reranker == "none")
    found = ranked(outcome, task, "m", "r")
    changed = 0
    for query, rows, scores in zip(task.queries, first.documents, first.scores, strict=True):
        nodes = [
            NodeWithScore(node=TextNode(id_=task.corpus[row].id, text=task.corpus[row].content), score=score)
            for row, score in zip(rows, scores, strict=True)
            if row >= 0
        ]
        expected = [node.node.node_id for node in component.postprocess_nodes(nodes, query_str=query.text)]
        assert found[query.id] == expected
        changed += expected != [task.corpus[row].id for row in rows if row >= 0]
    assert changed > 50
    if store is not None:
        computed = store.computed
        again = run(
            [task], {"m": build(parse_spec("tfidf"), Compute())}, {"r": reranker}, candidates=4, depth=4, store=store
        )
        assert ranked(again, task, "m", "r") == found
        assert store.computed == computed


def test_nodes_that_come_twice_are_refused():
    message = r"Twice gave nodes twice, or nodes that it was not given; it is no reranker\.$"
    with pytest.raises(ScoreError, match=message):
        LlamaIndexListReranker(Twice()).rerank("q", ["a", "b"], np.array([2.0, 1.0]))


def test_identity_holds_what_changes_vectors_and_no_key():
    same = [TwoSided(), TwoSided(embed_batch_size=3), TwoSided(num_workers=2), TwoSided(api_key="another-key-123")]
    other = [TwoSided(dim=9), TwoSided(salt="x"), TwoSided(model_name="m"), MockEmbedding(embed_dim=8)]
    prints = [fingerprint(LlamaIndexEmbedder(each).identity) for each in (*same, *other)]
    assert len(set(prints[: len(same)])) == 1
    assert len(set(prints)) == 1 + len(other)
    assert KEY not in json.dumps(LlamaIndexEmbedder(TwoSided()).identity)
    cut = [LlamaIndexReranker(SharedWords(top_n=top_n)).identity for top_n in (1, 2)]
    assert cut[0] == cut[1], "top_n is set for each call"


def test_an_error_does_not_show_a_key():
    with pytest.raises(RuntimeError, match=r"^ValueError: 401: no such key \*\*\*$") as caught:
        LlamaIndexEmbedder(TwoSided(fail=True)).encode(["a"], "query")
    assert caught.value.__suppress_context__
