"""Fusion of rankings, held to LlamaIndex's own and to plain loops."""

import numpy as np
import pytest

from evalkit.search.ranking import Fusion, best_weight, fuse, halves, id_ranks, pool
from evalkit.types import Run


def lists(seed, queries=40, documents=60, depth=12):
    """Random rankings with results missing at the end of some rows."""
    rng = np.random.default_rng(seed)
    found = np.array([rng.permutation(documents)[:depth] for _ in range(queries)])
    scores = -np.sort(-rng.normal(size=found.shape), axis=1)
    short = np.arange(depth) >= rng.integers(0, depth + 1, size=(queries, 1))
    return Run(np.where(short, -1, found), np.where(short, np.nan, scores))


def as_dicts(run):
    return [
        {int(document): float(score) for document, score in zip(*row, strict=True) if document >= 0}
        for row in zip(run.documents, run.scores, strict=True)
    ]


def by_hand(first, second, fusion):
    """Scores by document, for each query, in plain Python."""
    fused = []
    for a, b in zip(as_dicts(first), as_dicts(second), strict=True):
        total = dict.fromkeys([*a, *b], 0.0)
        for share, found in ((fusion.weight, a), (1 - (fusion.weight or 0), b)):
            for rank, (document, score) in enumerate(found.items(), start=1):
                if fusion.method == "rrf":
                    total[document] += 1 / (fusion.k + rank)
                elif max(found.values()) == min(found.values()):
                    total[document] += share
                else:
                    low, high = min(found.values()), max(found.values())
                    total[document] += share * (score - low) / (high - low)
        fused.append(total)
    return fused


def fused(runs, fusion, depth=20):
    shares = (1, 1) if fusion.method == "rrf" else (fusion.weight, 1 - fusion.weight)
    return fuse(pool(runs, fusion), shares, id_ranks([f"d{row:02}" for row in range(60)]), depth)


@pytest.mark.parametrize(
    "fusion", [Fusion("rrf"), Fusion("rrf", k=1), *(Fusion("weighted", weight=w) for w in (0, 0.3, 1))], ids=str
)
def test_scores_and_order_are_those_of_plain_loops(fusion):
    runs = lists(1), lists(2)
    run = fused(runs, fusion)
    for found, expected in zip(as_dicts(run), by_hand(*runs, fusion), strict=True):
        best = sorted(expected, key=lambda document: (expected[document], f"d{document:02}"), reverse=True)[:20]
        assert list(found) == pytest.approx(best)
        assert [found[document] for document in best] == pytest.approx([expected[document] for document in best])


@pytest.mark.parametrize("mode", ["reciprocal_rerank", "relative_score"])
def test_agrees_with_llamaindex(mode):
    from llama_index.core.llms import MockLLM
    from llama_index.core.retrievers import BaseRetriever, QueryFusionRetriever
    from llama_index.core.schema import NodeWithScore, TextNode

    class Fixed(BaseRetriever):
        def __init__(self, found):
            super().__init__()
            self.found = found

        def _retrieve(self, query_bundle):
            return [
                NodeWithScore(node=TextNode(id_=f"d{row:02}", text=f"d{row:02}"), score=score)
                for row, score in self.found.items()
            ]

    first, second = lists(3, depth=10), lists(4, depth=10)
    # LlamaIndex counts ranks from 0.
    fusion = Fusion("rrf", k=59) if mode == "reciprocal_rerank" else Fusion("weighted", weight=0.7)
    compared = 0
    for row, (a, b) in enumerate(zip(as_dicts(first), as_dicts(second), strict=True)):
        if min(len(a), len(b)) < 2:  # it divides by nothing, or takes one score for the worst
            continue
        retriever = QueryFusionRetriever(
            [Fixed(a), Fixed(b)], llm=MockLLM(), mode=mode, num_queries=1, similarity_top_k=20, use_async=False,
            retriever_weights=[0.7, 0.3],
        )  # fmt: skip
        theirs = {each.node.node_id: each.score for each in retriever.retrieve("?")}
        ours = as_dicts(Run(*(part[row : row + 1] for part in vars(fused((first, second), fusion)).values())))[0]
        assert {f"d{document:02}": score for document, score in ours.items()} == pytest.approx(theirs)
        compared += 1
    assert compared > 20


def test_no_result_anywhere_stays_no_result():
    nothing = Run(np.full((2, 3), -1), np.full((2, 3), np.nan))
    run = fused((nothing, nothing), Fusion("rrf"))
    assert (run.documents == -1).all()
    assert np.isnan(run.scores).all()
    one = Run(np.array([[4, -1, -1], [-1, -1, -1]]), np.array([[0.3, np.nan, np.nan], [np.nan] * 3]))
    run = fused((nothing, one), Fusion("weighted", weight=0.25))
    assert run.documents[:, 0].tolist() == [4, -1]
    assert run.scores[0, 0] == 0.75


def test_halves_are_even_and_follow_the_ids():
    ids = [f"q{number}" for number in range(101)]
    half = halves(ids)
    assert sorted(np.bincount(half)) == [50, 51]
    order = np.random.default_rng(0).permutation(101)
    assert (halves([ids[row] for row in order]) == half[order]).all()


def test_the_best_weight_is_the_one_in_the_middle_of_equals():
    quality = np.zeros((21, 4))
    assert best_weight(quality) == 0.5
    quality[3] = 1
    assert best_weight(quality) == 0.15
