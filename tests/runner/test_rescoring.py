"""Vectors of low precision searched first, and what they find ranked anew by full ones."""

import numpy as np
import pytest

import evalkit as package
from evalkit.compute import Compute
from evalkit.errors import ConfigError, SpecError
from evalkit.integrations.llamaindex import EvalkitRetriever, task_nodes
from evalkit.models.registry import build, parse_spec
from evalkit.tasks import load_task

DEPTH = 5


@pytest.fixture(scope="module")
def static(data_dir):
    return f"static:{data_dir / 'potion-base-4m-int8'}"


@pytest.fixture(scope="module")
def task():
    return load_task("llamaindex-10k-val", max_queries=30)


@pytest.fixture(scope="module")
def vectors(static, task):
    """Full vectors of documents and queries, by the model itself."""
    model = build(parse_spec(static), Compute())
    return (
        model.encode([each.content for each in task.corpus], "document").astype(np.float64),
        model.encode([each.text for each in task.queries], "query").astype(np.float64),
    )


def rankings(results, label):
    found = results.evidence.rankings
    found = found[(found["model"] == label) & (found["rank"] <= DEPTH)].sort_values(["query", "rank"])
    return {query: rows["document"].tolist() for query, rows in found.groupby("query", observed=True, sort=False)}


@pytest.mark.parametrize("stored", [True, False], ids=["store", "no store"])
@pytest.mark.parametrize("rescore", [DEPTH, 20])
def test_ranks_as_plain_numpy(rescore, stored, static, task, vectors):
    label = f"{static}?precision=binary&rescore={rescore}"
    results = package.run(
        models=label, tasks="llamaindex-10k-val", max_queries=30, top_k=DEPTH, device="cpu", no_store=not stored
    )
    documents, queries = vectors
    ids = np.array([each.id for each in task.corpus])
    found = rankings(results, label)
    for query, vector in zip(task.queries, queries, strict=True):
        agreeing = ((documents > 0) == (vector > 0)).sum(axis=1)
        rough = sorted(range(len(ids)), key=lambda row: (agreeing[row], ids[row]), reverse=True)[:rescore]
        cosine = documents @ vector / np.linalg.norm(documents, axis=1)
        anew = sorted(rough, key=lambda row: (round(cosine[row], 12), ids[row]), reverse=True)
        assert found[query.id] == ids[anew[:DEPTH]].tolist()


@pytest.mark.slow
def test_ranking_everything_anew_is_the_full_ranking(static, task):
    all_ = len(task.corpus)
    labels = [static, f"{static}?precision=int8&rescore={all_}", f"{static}?precision=binary&rescore={all_}"]
    results = package.run(models=labels, tasks="llamaindex-10k-val", max_queries=30, top_k=DEPTH, device="cpu")
    assert rankings(results, labels[0]) == rankings(results, labels[1]) == rankings(results, labels[2])
    marks = {each["fingerprint"] for each in results.provenance["cells"]}
    assert len(marks) == 3


@pytest.mark.slow
def test_a_sweep_encodes_once_and_each_row_is_one_of_the_table(static, tmp_path):
    how = {"tasks": "llamaindex-10k-val", "max_queries": 30, "top_k": DEPTH, "device": "cpu", "store": tmp_path}
    computed = package.run(models=static, **how).provenance["computed"]
    swept = package.run(models=f"{static}?precision=int8|binary&rescore=10|20,{static}?precision=binary", **how)
    assert computed > 0
    assert swept.provenance["computed"] == 0
    assert len(swept.leaderboard()) == 5


def test_live_as_in_the_run(static, task):
    label = f"{static}?precision=binary&rescore=10"
    results = package.run(models=label, tasks="llamaindex-10k-val", max_queries=30, top_k=DEPTH, device="cpu")
    live = EvalkitRetriever(task_nodes("llamaindex-10k-val"), label, similarity_top_k=DEPTH, device="cpu")
    found = rankings(results, label)
    for query in task.queries[:8]:
        assert [each.node.node_id for each in live.retrieve(query.text)] == found[query.id]


def test_rescore_needs_a_low_precision_and_enough_documents(static):
    with pytest.raises(SpecError, match="rescore needs precision=int8 or binary"):
        package.run(models=f"{static}?rescore=20", tasks="rag-mini")
    with pytest.raises(ConfigError, match="rescore=4 is fewer than the 5 documents that are ranked of each query"):
        package.run(models=f"{static}?precision=int8&rescore=4", tasks="rag-mini")
    with pytest.raises(ConfigError, match="rescore=6 is fewer than the 10 documents"):
        package.run(models=f"{static}?precision=int8&rescore=6", tasks="rag-mini", rerankers="tfidf")
