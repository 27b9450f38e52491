"""Queries that stand in the corpus under their own id: who is a result of whom, by default and as declared."""

import json

import pandas as pd
import pytest

import evalkit as package
from evalkit.tasks import _blocks as blocks
from evalkit.tasks import load_task

TEXTS = {
    "a1": "how many states are there in the union",
    "a2": "what is the number of states in the union",
    "b1": "how do I boil an egg softly",
    "b2": "best way of cooking a soft boiled egg",
    "c1": "cheap flights to the coast in summer",
}
SAME = {"a1": TEXTS["a1"], "b1": TEXTS["b1"]}
JUDGED = {"a1": "a2", "b1": "b2"}


def task(folder, queries=SAME, judged=JUDGED, declared=None, titles=()):
    (folder / "qrels").mkdir(parents=True)
    corpus = [{"_id": name, "text": text} for name, text in TEXTS.items()]
    for row in corpus:
        if row["_id"] in titles:  # the query is title and text
            row["title"], _, row["text"] = row["text"].partition(" ")
    for name, rows in {"corpus": corpus, "queries": [{"_id": q, "text": t} for q, t in queries.items()]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in judged.items())]
    (folder / "qrels" / "test.tsv").write_text("\n".join(lines))
    if declared is not None:
        rule = f"ignore_identical_ids: {str(declared).lower()}\n"
        (folder / "task.yaml").write_text("type: retrieval\nsplits: {test: qrels/test.tsv}\n" + rule)
    return str(folder)


OTHER = {"a1": "the union has how many of them", "b1": TEXTS["b1"]}
BY_CHANCE = {"a1": "states of the union", "b1": "egg softly"}
CASES = {
    "same ids and texts": ({}, {"a1", "b1"}, "2 of 2 queries stand in the corpus under their own id, with the same"),
    "blanks differ": ({"queries": {"a1": TEXTS["a1"].replace(" ", "  ") + "\n", "b1": "egg"}}, {"a1"}, "1 of 2"),
    "capitals and marks differ": (
        {"queries": {"a1": TEXTS["a1"].capitalize() + "?", "b1": "egg"}}, {"a1"}, "1 of 2"
    ),
    "with a title": ({"titles": ("a1",)}, {"a1", "b1"}, "2 of 2"),
    "one has another text": ({"queries": OTHER}, {"b1"}, "1 of 2"),
    "ids by chance": ({"queries": BY_CHANCE}, set(), ""),
    "judged for itself": ({"judged": {"a1": "a1", "b1": "b2"}}, {"b1"}, "1 of 2 .* judged relevant for themselves"),
    "declared": ({"queries": BY_CHANCE, "declared": True}, {"a1", "b1"}, r"2 of 2 .* \(ignore_identical_ids\)"),
    "declared, judged for itself": (
        {"judged": {"a1": "a1", "b1": "b2"}, "declared": True}, {"a1", "b1"}, "1 of 2 .*: none finds that"
    ),
    "declared not to be": ({"declared": False}, set(), "2 of 2 .* are results of themselves"),
}  # fmt: skip


@pytest.mark.parametrize("on_disk", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("case", CASES)
def test_who_is_no_result_of_itself(case, on_disk, tmp_path, monkeypatch):
    how, expected, note = CASES[case]
    if on_disk:
        monkeypatch.setattr(blocks, "IN_MEMORY_BYTES", 10)
    loaded = load_task(task(tmp_path, **how))
    assert isinstance(loaded.corpus, blocks.BlockCorpus) is on_disk
    assert loaded.not_for_themselves == expected
    if note:
        assert pd.Series([" ".join(loaded.notes)]).str.contains(note, regex=True).all(), loaded.notes
    else:
        assert loaded.notes == ()


def test_what_is_scored_has_a_hash_of_its_own(tmp_path):
    hashes = {name: load_task(task(tmp_path / name, **how)).content_hash for name, (how, *_) in CASES.items()}
    alike = {"same ids and texts", "with a title"}
    assert hashes["same ids and texts"] == hashes["with a title"]
    assert len(set(hashes.values())) == len(hashes) - len(alike) + 1
    plain = load_task(task(tmp_path / "again", declared=False))
    assert plain.content_hash == hashes["declared not to be"]


@pytest.mark.parametrize("declared", [None, True, False])
def test_first_stages_fusions_and_rerankers_follow(declared, tmp_path):
    results = package.run(
        models="bm25,tfidf,rrf(bm25, tfidf)", rerankers="bow", tasks=task(tmp_path / "task", declared=declared),
        top_k="1,3", candidates=3, device="cpu", no_store=True, out=tmp_path / "out",
    )  # fmt: skip
    assert results.failures == []
    rankings = results.evidence.rankings.astype({"query": str, "document": str})
    own = rankings[rankings["query"] == rankings["document"]]
    scores = results.scores.set_index(["model", "reranker", "metric"])["score"]
    cells = [(model, reranker) for model in ("bm25", "tfidf", "rrf(bm25, tfidf)") for reranker in ("none", "bow")]
    assert {(str(model), str(reranker)) for model, reranker, _ in scores.index} == set(cells)
    notes = json.loads((tmp_path / "out" / "run.json").read_text())["tasks"][0]["notes"]
    board = (tmp_path / "out" / "leaderboard.md").read_text()
    assert notes[0].partition(",")[0] in board
    for cell in cells:
        first = scores[(*cell, "hit_rate@1")]
        assert first == 0 if declared is False else first >= 0.5, cell
    assert own.empty is (declared is not False)
    depths = rankings.groupby(["model", "reranker", "query"], observed=True).size()
    assert set(depths.loc["tfidf", "none"]) == {3}, "leaving the query out costs no place"
