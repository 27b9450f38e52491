"""Documents that are ranked by their best passage, against plain numpy and LlamaIndex's own index of the passages."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeFitted, FakeReranker, ranked, retrieval_task, run
from llama_index.core import VectorStoreIndex
from llama_index.core.schema import NodeRelationship, TextNode

from evalkit.compute import Compute
from evalkit.errors import ConfigError
from evalkit.integrations.llamaindex import EvalkitEmbedding, EvalkitRetriever
from evalkit.runner.context import RunContext
from evalkit.runner.grid.live import LiveCell
from evalkit.search.ranking import documents_of, enough_passages
from evalkit.tasks import load_task
from evalkit.tasks.build import with_passages
from evalkit.types import Document

DOCUMENTS, QUERIES = 30, 8


@pytest.fixture(scope="module")
def case():
    """A task whose documents have up to 40 passages, and vectors of passages and queries; scores tie now and then."""
    rng = np.random.default_rng(0)
    counts = [40, *rng.integers(1, 6, DOCUMENTS - 1).tolist()]
    passages = [(f"{document} {n}", f"d{document:02}") for document, count in enumerate(counts) for n in range(count)]
    vectors = {text: rng.integers(-3, 4, 3).tolist() for text, _ in passages}
    vectors = {text: vector if any(vector) else [1, 0, 0] for text, vector in vectors.items()}
    queries = {f"q{n}": f"question {n}" for n in range(QUERIES)}
    vectors |= {text: rng.normal(size=3).tolist() for text in queries.values()}
    task = retrieval_task({f"d{document:02}": f"text {document}" for document in range(DOCUMENTS)}, queries)
    task = with_passages(task, [Document(parent, text) for text, parent in passages])
    return task, vectors, passages


def by_numpy(task, vectors, passages):
    """Each query's documents and scores: the best passage's, ties by id descending."""
    expected = {}
    for query in task.queries:
        asked = np.array(vectors[query.text], dtype=np.float32).astype(float)
        best = {}
        for text, parent in passages:
            score = float(np.array(vectors[text]) @ asked)
            best[parent] = max(score, best.get(parent, -np.inf))
        expected[query.id] = sorted(best, key=lambda document: (best[document], document), reverse=True)
    return expected


@pytest.mark.parametrize("depth", [1, 5, DOCUMENTS])
def test_a_document_stands_where_its_best_passage_does(case, depth):
    task, vectors, _ = case
    outcome = run([task], {"m": FakeEmbedder(vectors)}, candidates=depth, depth=depth)
    expected = {query: found[:depth] for query, found in by_numpy(*case).items()}
    assert ranked(outcome, task, "m") == expected


def test_so_many_passages_are_enough_for_the_depth(case):
    task = case[0]
    documents = documents_of(task.passages, task.document_ids)
    assert enough_passages(documents, 1) == 1
    assert enough_passages(documents, 2) == 41  # the forty of one document, and one more
    assert enough_passages(documents, DOCUMENTS + 5) == len(task.passages)


def test_a_reranker_reads_documents(case):
    task, vectors, _ = case
    reranker = FakeReranker(lambda query, document: float(document.split()[1]))
    outcome = run([task], {"m": FakeEmbedder(vectors)}, {"r": reranker}, candidates=4, depth=4)
    assert {document for _, document in reranker.pairs} <= {document.text for document in task.corpus}
    first, second = ranked(outcome, task, "m"), ranked(outcome, task, "m", "r")
    assert second == {query: sorted(found, reverse=True) for query, found in first.items()}


def test_new_queries_find_the_same(case):
    task, vectors, _ = case
    model = FakeEmbedder(vectors)
    cell = LiveCell.start(task.corpus, [model], None, None, 5, RunContext(Compute()), task.passages)
    found = {query.id: [document.id for document, _ in cell.search(query.text, 5)] for query in task.queries}
    assert found == ranked(run([task], {"m": model}, depth=5), task, "m")


def test_a_query_is_no_result_of_itself(case):
    task, vectors, _ = case
    first = {query: found[0] for query, found in by_numpy(*case).items()}
    renamed = tuple(replace(query, id=first[query.id]) for query in task.queries)
    own = replace(task, queries=renamed[:1], not_for_themselves=frozenset([renamed[0].id]), qrels={})
    outcome = run([own], {"m": FakeEmbedder(vectors)}, depth=3)
    assert ranked(outcome, own, "m") == {renamed[0].id: by_numpy(*case)[task.queries[0].id][1:4]}


def test_passages_are_part_of_what_decides_a_score(case):
    task, _, passages = case
    fewer = with_passages(task, [Document(parent, text) for text, parent in passages[:-1]])
    assert len({task.content_hash, fewer.content_hash}) == 2


@pytest.mark.parametrize("model", ["static", "bm25"])
def test_real_passages_as_llamaindex_finds_them(data_dir, model):
    """Sentences of the 10-K passages in LlamaIndex's index; of what it finds, parents by their first leaf."""
    spec = f"static:{data_dir / 'potion-base-4m-int8'}" if model == "static" else model
    task = load_task("llamaindex-10k-val", max_queries=10)
    nodes = [TextNode(id_=document.id, text=document.content) for document in task.corpus[:60]]
    leaves = [
        TextNode(text=line, relationships={NodeRelationship.PARENT: node.as_related_node_info()})
        for node in nodes
        for line in filter(str.strip, node.text.split("\n")[:12])
    ]
    retriever = EvalkitRetriever(nodes, spec, similarity_top_k=5, device="cpu", no_store=True, leaves=leaves)
    if model == "static":
        index = VectorStoreIndex(leaves, embed_model=EvalkitEmbedding(spec, device="cpu"))
        searched = index.as_retriever(similarity_top_k=len(leaves))
    else:
        searched = EvalkitRetriever(leaves, spec, similarity_top_k=len(leaves), device="cpu", no_store=True)
    for query in task.queries:
        found = retriever.retrieve(query.text)
        scores = {}
        for each in searched.retrieve(query.text):
            scores.setdefault(each.node.parent_node.node_id, each.score)
        expected = sorted(scores.items(), key=lambda pair: pair[1], reverse=True)[:5]
        np.testing.assert_allclose([each.score for each in found], [score for _, score in expected], rtol=1e-5)
        assert all(np.isclose(scores[each.node.node_id], each.score, rtol=1e-5) for each in found)


def test_a_leaf_without_its_parent_is_refused():
    nodes = [TextNode(id_="a", text="one"), TextNode(id_="b", text="two")]
    leaf = TextNode(id_="c", text="part", relationships={NodeRelationship.PARENT: nodes[1].as_related_node_info()})
    with pytest.raises(ConfigError, match="1 of 1 leaves have no parent among the nodes: c"):
        EvalkitRetriever(nodes[:1], "bm25", device="cpu", no_store=True, leaves=[leaf])


def test_a_model_that_learns_learns_from_passages(case):
    task, vectors, passages = case
    model = FakeFitted(vectors)
    run([task], {"m": model}, depth=3)
    assert model.fits == [[text for text, _ in passages]]
