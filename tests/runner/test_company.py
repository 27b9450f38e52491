"""Rerankers whose score of a pair depends on what stands beside it: found out, said, never pooled or kept by pair."""

import numpy as np
import pytest
from fakes import write_retrieval_task

import evalkit as package
from evalkit.contracts import no_progress
from evalkit.store import Store

QUERIES = {"q1": "cats and dogs", "q2": "fish"}
CORPUS = {f"d{row}": f"{'cats' if row % 2 else 'dogs'} {'and fish ' * (row % 3)} number {row}" for row in range(12)}


def by_length(queries, documents):
    pairs = zip(queries, documents, strict=True)
    return np.array([len({*query.split()} & {*text.split()}) + len(text) / 50 for query, text in pairs])


class Scores:
    """A reranker that makes its scores of all pairs of a call; `calls` holds the documents of each call."""

    def __init__(self, make, name):
        self.make, self.identity, self.calls = make, {"model": name}, []

    def score(self, queries, documents, advance=no_progress):
        self.calls.append(list(documents))
        return self.make(by_length(queries, documents))


def needs_two(scores):
    if len(scores) < 2:
        raise ValueError("Found array with 1 sample(s)")
    return scores


def softmax(scores):
    return np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()


def padded(scores):
    """As a network in bfloat16 rounds: a little otherwise with every batch."""
    return scores * (1 + 0.003 * np.sin(len(scores) + np.arange(len(scores))))


IN_COMPANY = {
    "softmax": softmax,
    "centred": lambda scores: scores - scores.mean(),
    "scaled": lambda scores: (scores - scores.min()) / (np.ptp(scores) or 1),
    "place": lambda scores: -np.argsort(np.argsort(-scores)).astype(float),
    "position": lambda scores: scores - 0.5 * np.arange(len(scores)),
    "needs two": needs_two,
}
ALONE = {"plain": lambda scores: scores, "padded": padded, "all the same": np.zeros_like}


@pytest.fixture
def task(tmp_path):
    qrels = {"q1": {"d1": 1}, "q2": {"d2": 1}}
    return write_retrieval_task(tmp_path / "pets", CORPUS, QUERIES, qrels)


def run(task, reranker, **keys):
    return package.run(
        models="bow,tfidf", tasks=task, rerankers=[("r", reranker)], top_k=2, candidates=5, device="cpu", **keys
    )


def notes(found):
    return {note for cell in found.provenance["cells"] if cell["reranker"] == "r" for note in cell.get("notes", ())}


@pytest.mark.parametrize("kind", IN_COMPANY)
def test_what_depends_on_company_reranks_each_list_as_a_whole(kind, task, tmp_path):
    reranker = Scores(IN_COMPANY[kind], kind)
    found = run(task, reranker, store=tmp_path / "store")
    assert found.failures == []
    assert len(notes(found)) == 1
    assert "each first stage's list is reranked as a whole" in next(iter(notes(found)))
    ranked = found.evidence.rankings
    for model in ("bow", "tfidf"):
        for query, text in QUERIES.items():
            first = ranked[(ranked["model"] == model) & (ranked["query"] == query)]
            listed = first[first["reranker"] == "none"].sort_values("rank")["document"].astype(str).tolist()[:5]
            behind = first[first["reranker"] == "r"].sort_values("rank")["document"].astype(str).tolist()
            scores = IN_COMPANY[kind](by_length([text] * len(listed), [CORPUS[each] for each in listed]))
            assert behind == [listed[row] for row in np.argsort(-scores, kind="stable")]
    calls = len(reranker.calls)
    again = run(task, reranker, store=tmp_path / "store")
    assert len(reranker.calls) == calls, "what was found out and computed is kept"
    assert notes(again) == notes(found)
    assert again.scores.equals(found.scores)


@pytest.mark.parametrize("kind", ALONE)
def test_what_scores_pairs_alone_is_pooled(kind, task, tmp_path):
    reranker = Scores(ALONE[kind], kind)
    found = run(task, reranker, store=tmp_path / "store")
    alike = {"All candidates of 4 of 4 lists have one score: they keep the first stage's order."}
    assert (found.failures, notes(found)) == ([], alike if kind == "all the same" else set())
    assert len(reranker.calls) == 2 + 5 + 1, "a list, the same backwards, five alone; then all pairs at once"
    assert len(reranker.calls[-1]) < 2 * 2 * 5, "pairs that both first stages found are scored once"
    run(task, reranker, store=tmp_path / "store")
    assert len(reranker.calls) == 8


def test_who_says_so_is_not_asked(task):
    class Known(Scores):
        scores_alone = True

    reranker = Known(softmax, "known")
    assert notes(run(task, reranker, no_store=True)) == set()
    assert len(reranker.calls) == 1


def test_one_that_fails_fails_its_cells_alone(task):
    def broken(_):
        raise RuntimeError("no such kernel")

    found = run(task, Scores(broken, "broken"), no_store=True)
    assert {failure["reason"] for failure in found.failures} == {"RuntimeError: no such kernel"}
    assert set(found.scores["reranker"]) == {"none"}


def test_scores_kept_by_pair_are_not_taken_for_those_of_lists(task, tmp_path):
    """The same reranker, which was believed before to score pairs alone."""
    believed = type("Believed", (Scores,), {"scores_alone": True})(softmax, "one")
    run(task, believed, store=tmp_path / "store")
    found = run(task, Scores(softmax, "one"), store=tmp_path / "store")
    fresh = run(task, Scores(softmax, "one"), no_store=True)
    assert found.scores.equals(fresh.scores)
    assert all(verdict == "sound" for _, verdict in Store(tmp_path / "store").verify())
