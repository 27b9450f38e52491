"""A pick for a judged task: the cells of a run, what they cost, and a recommendation that new questions bear out."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from fakes import as_files

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.picking._recommend import recommend
from evalkit.results import Results
from evalkit.tasks import load_task

KEYS = {"models": "bm25,tfidf,bow", "rerankers": "tfidf", "top_k": "5,10", "device": "cpu"}
FAST = {"measure_queries": 5, "measure_seconds": 0.5}


def test_a_pick_for_a_task_has_the_scores_of_its_run_and_what_the_cells_cost(tmp_path):
    picked = package.pick("rag-mini", hybrid=False, out=tmp_path, require="latency_p95<10s", **KEYS, **FAST)
    run = package.run(tasks="rag-mini", **KEYS)
    shared = ["model", "reranker", "metric", "score", "ci_low", "ci_high", "n"]
    pd.testing.assert_frame_equal(picked.results.scores[shared], run.scores[shared], check_categorical=False)
    cells = picked.results.measurements.cells
    assert len(cells) == len(picked.recommendation.choices) == 6
    assert (cells["latency_p95_ms"] > 0).all()
    text = (tmp_path / "recommendation.md").read_text()
    assert "chunk" not in text.lower()
    assert not (tmp_path / "chunkings.csv").exists()
    assert Results.read(tmp_path).provenance["pick"]["task"]["name"] == "rag-mini"
    decides = run.scores[run.scores["metric"] == "hit_rate@10"]
    assert picked.recommendation.best.score == decides["score"].max()


@pytest.mark.parametrize("given", ["folder", "object", "data"])
def test_a_task_is_known_however_it_is_given(given, tmp_path, data_dir):
    task = load_task("rag-mini", max_queries=12)
    if given == "folder":
        qrels = [
            f"{query}\t{document}\t{grade}"
            for query, found in task.qrels.items()
            for document, grade in found.items()
        ]
        (tmp_path / "qrels").mkdir()
        (tmp_path / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *qrels]))
        for name, texts in (("corpus", task.corpus), ("queries", task.queries)):
            lines = (json.dumps({"_id": each.id, "text": each.text}) for each in texts)
            (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
        documents = tmp_path
    elif given == "object":
        documents = task
    else:
        documents = {
            "corpus": {each.id: each.text for each in task.corpus},
            "queries": {each.id: each.text for each in task.queries},
            "qrels": task.qrels,
        }
    picked = package.pick(documents, models="bm25,tfidf", hybrid=False, device="cpu", no_store=True, **FAST)
    assert picked.recommendation.questions == 12


@pytest.mark.parametrize(
    ("documents", "options", "told"),
    [
        ("rag-mini", {"questions": "questions.csv"}, "rag-mini is a task, which has its own documents and questions"),
        ("rag-mini", {"measure_queries": 0}, "measure_queries=0: a pick times at least 1 query"),
        ("rag-mini", {"measure_seconds": -1}, "measure_seconds=-1: give the seconds of each stage, 0 or more"),
        ("rag-mini", {"chunk_size": 128}, "leave out questions, .* and how to cut chunks"),
        ("pets-sts", {}, "pets-sts: not a folder, and no judged retrieval task that is known"),
        ("rag-mni", {}, "rag-mni: not a folder, and no judged .*, or such a task .`evalkit tasks` lists them"),
    ],
)
def test_what_a_task_cannot_have(documents, options, told):
    with pytest.raises(ConfigError, match=told):
        package.pick(documents, models="bm25", **options)


def test_a_task_with_faulty_data_is_taken_as_it_is_if_that_is_asked_for(tmp_path, evalkit):
    task = tmp_path / "pets"
    (task / "qrels").mkdir(parents=True)
    (task / "corpus.jsonl").write_text(
        '{"_id": "a", "text": "cats"}\n{"_id": "b", "text": "dogs"}\n{"_id": "c", "text": ""}\n'
    )
    (task / "queries.jsonl").write_text('{"_id": "q", "text": "a cat, or cats"}\n')
    (task / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    given = (
        "pick", task, "--models", "bm25", "--measure-seconds", "0.1", "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    status, _, err = evalkit(*given)
    assert status == 2
    assert "document with no text" in err
    assert "--on-bad-data warn of `evalkit run`, `pick` and `export`" in err
    assert evalkit(*given, "--on-bad-data", "warn")[0] == 0


def test_a_run_measures_if_it_is_asked_to(tmp_path, evalkit):
    status, out, err = evalkit(
        "run", "--models", "bm25,tfidf", "--tasks", "rag-mini", "--max-queries", "5", "--measure", "--device", "cpu",
        "--out", tmp_path,
    )  # fmt: skip
    assert status == 0, err
    cells = Results.read(tmp_path).measurements.cells
    assert cells["model"].tolist() == ["bm25", "tfidf"]
    assert (cells["latency_p50_ms"] > 0).all()
    assert "Cost: rag-mini (test)" in out
    assert "Cost: rag-mini (test)" in (tmp_path / "leaderboard.md").read_text()


@pytest.mark.slow
def test_a_choice_on_half_of_the_questions_holds_on_the_other_half(data_dir, tmp_path):
    """The 10-K passages as files, with their questions: the choice is that of a run on the same cells; of a choice
    on the questions about half of the passages, the score on new questions is borne out by the other half.
    """
    task = load_task(str(data_dir / "llamaindex-10k-val"))
    as_files(task, tmp_path)
    models = ["bm25", "tfidf", "bow", f"static:{data_dir / 'potion-base-4m-int8'}", "lsa?dim=64"]
    picked = package.pick(
        tmp_path / "docs", questions=tmp_path / "questions.jsonl", chunk_size=None, models=models, metric="nDCG@5",
        device="cpu", margin=0.05, **FAST,
    )  # fmt: skip
    choices = {choice.model: choice.score for choice in picked.recommendation.choices}
    run = package.run(models=[*choices], tasks=task, device="cpu", metrics="nDCG@5")
    assert run.leaderboard()["model"].iloc[0] == picked.recommendation.best.model
    scores = run.scores.astype({"model": str}).set_index("model")["score"]
    assert choices == pytest.approx(scores.to_dict(), abs=1e-4)  # the vectors of lsa hang on the order of documents

    passage = {query: next(iter(found)) for query, found in task.qrels.items()}
    passages, records = np.array(sorted(set(passage.values()))), picked.results.records
    held = []
    for seed in range(20):
        half = set(np.random.default_rng(seed).permutation(passages)[: len(passages) // 2])
        chosen_by = records["id"].astype(str).map(passage).isin(half)
        of_half = replace(picked.results, records=records[chosen_by])
        found = recommend(of_half, metric="nDCG@5", margin=0.05, document_of=passage)
        if found.confirmed is not None:
            other = records[~chosen_by & (records["metric"] == "nDCG@5") & (records["model"] == found.choice.model)]
            mean, error = other["value"].mean(), other["value"].sem()
            held.append(abs(found.confirmed.score - mean) <= 1.96 * error)
    assert len(held) >= 4
    assert np.mean(held) >= 0.75, "of two halves both are uncertain: 83 % if the estimate has no bias"
