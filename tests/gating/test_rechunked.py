"""A new chunker: other documents and other judgements for the same questions, and a yes or no to it."""

import json
import random
from pathlib import Path

import pytest
from fakes import some_of_ten_k

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.gating.gate import gate, make_baseline
from evalkit.tasks import load_task

KEYS = {"models": "bm25,tfidf", "device": "cpu", "top_k": "5"}
POLICY = {"margin": 0.05, "drift": "off"}


@pytest.fixture(scope="module")
def passages(data_dir, tmp_path_factory):
    return load_task(some_of_ten_k(data_dir, tmp_path_factory.mktemp("some")))


def written(folder: Path, task, cut) -> str:
    """The task with each document cut by `cut` into pieces, all of them relevant where it was."""
    pieces = {document.id: cut(document.text) for document in task.corpus}
    (folder / "qrels").mkdir(parents=True)
    corpus = [
        {"_id": f"{document}-{number}", "text": text}
        for document, texts in pieces.items()
        for number, text in enumerate(texts)
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (folder / "queries.jsonl").write_text(
        "\n".join(json.dumps({"_id": query.id, "text": query.text}) for query in task.queries)
    )
    rows = [
        f"{query.id}\t{document}-{number}\t1"
        for query in task.queries
        for document in task.qrels[query.id]
        for number in range(len(pieces[document]))
    ]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]))
    return str(folder)


def whole(text: str) -> list[str]:
    return [text]


def halves(text: str) -> list[str]:
    middle = text.find(" ", len(text) // 2)
    return [text[:middle], text[middle:]]


def beginnings(text: str) -> list[str]:
    """A chunker with a fault: it loses what is beyond 300 characters."""
    return [text[:300]]


@pytest.fixture(scope="module")
def baseline(passages, tmp_path_factory):
    folder = written(tmp_path_factory.mktemp("then") / "ten-k", passages, whole)
    return make_baseline(package.run(tasks=folder, **KEYS))


def outcomes(verdict):
    return {check.name: check.outcome for check in verdict.checks}


def test_it_says_yes_to_a_good_one(baseline, passages, tmp_path):
    suite = {"tasks": written(tmp_path / "ten-k", passages, halves), **KEYS}
    verdict = gate(baseline, suite=suite, policy=POLICY, rechunked={"ten-k": "ten-k"})
    assert verdict.status == 0
    assert outcomes(verdict)["ten-k (test): chunks"] == "note"
    (chunks,) = [check.reason for check in verdict.checks if check.outcome == "note"]
    assert chunks.startswith("its documents were cut anew, 100 then, 200 now: ")
    assert outcomes(verdict)["bm25 on ten-k (test): hit_rate@5"] == "pass"
    rates = verdict.changes.cells.query("metric == 'hit_rate@5'").set_index("model_a")
    assert rates["n"].tolist() == [200, 200]
    # Both runs, scored by themselves.
    now = package.run(**suite).leaderboard().set_index("model")["hit_rate@5"]
    then = baseline.results().leaderboard().set_index("model")["hit_rate@5"]
    for model in ("bm25", "tfidf"):
        assert rates.loc[model, "difference"] == pytest.approx(now[model] - then[model], abs=1e-12)


def test_it_says_no_to_a_bad_one(baseline, passages, tmp_path):
    suite = {"tasks": written(tmp_path / "ten-k", passages, beginnings), **KEYS}
    verdict = gate(baseline, suite=suite, policy=POLICY, rechunked={"ten-k": "ten-k"})
    assert verdict.status == 1
    assert outcomes(verdict)["bm25 on ten-k (test): hit_rate@5"] == "fail"
    worst = verdict.retrieved[0]
    assert worst.then != worst.now


def test_without_being_told_it_does_not_compare_chunks(baseline, passages, tmp_path):
    suite = {"tasks": written(tmp_path / "ten-k", passages, halves), **KEYS}
    verdict = gate(baseline, suite=suite, policy=POLICY)
    assert verdict.status == 2
    (check,) = verdict.checks
    assert "200 changed, in text or judgement" in check.reason
    assert "--rechunked" in check.reason


@pytest.mark.slow
def test_a_question_that_lost_its_answer_is_not_left_out_in_silence(baseline, passages, tmp_path):
    lost = random.Random(0).sample([query.id for query in passages.queries], 3)
    folder = Path(written(tmp_path / "ten-k", passages, halves))
    rows = (folder / "qrels" / "test.tsv").read_text().splitlines()
    (folder / "qrels" / "test.tsv").write_text("\n".join(row for row in rows if row.split("\t")[0] not in lost))
    suite = {"tasks": str(folder), **KEYS}
    verdict = gate(baseline, suite=suite, policy=POLICY, rechunked={"ten-k": "ten-k"})
    assert verdict.status == 2
    (check,) = verdict.checks
    assert "3 have no relevant document any more, or were removed" in check.reason
    assert all(each in check.reason for each in lost)
    verdict = gate(baseline, suite=suite, policy=POLICY, rechunked={"ten-k": "ten-k"}, common=True)
    assert verdict.status == 0
    assert set(verdict.changes.cells["n"]) == {197}


def test_names_that_are_no_task_s(baseline, tmp_path):
    run = package.run(tasks="rag-mini", **KEYS)
    with pytest.raises(ConfigError, match=r"'64/16' names 0 .* of the baseline. It has: ten-k \(test\)"):
        gate(baseline, run=run, rechunked={"64/16": "ten-k"})
    with pytest.raises(ConfigError, match=r"'ten-k' names 0 .* of the run. It has: rag-mini \(test\)"):
        gate(baseline, run=run, rechunked={"ten-k": "ten-k"})
    with pytest.raises(ConfigError, match=r"has nothing in common|have no relevant"):
        gate(baseline, run=run, rechunked={"ten-k": "rag-mini"}, common=True)


@pytest.mark.slow
def test_two_picks_from_the_command_line(evalkit, tmp_path):
    (tmp_path / "docs").mkdir()
    for file in range(6):
        facts = [f"Machine {file * 20 + n} was built in {1700 + file * 20 + n} near a river. " for n in range(20)]
        (tmp_path / "docs" / f"{file}.txt").write_text("".join(facts))
    asked = "".join(f"When was machine {n} built?,Machine {n} was built in {1700 + n}\n" for n in range(120))
    (tmp_path / "questions.csv").write_text("question,quote\n" + asked)

    def picked(size):
        out = tmp_path / str(size)
        status, _, err = evalkit(
            "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--models", "bm25",
            "--chunk-size", size, "--chunk-overlap", "0", "--device", "cpu", "--out", out,
        )  # fmt: skip
        assert status == 0, err
        return out

    status, *_ = evalkit("baseline", picked(64), "-o", tmp_path / "baseline.json")
    assert status == 0
    held = ("gate", tmp_path / "baseline.json", "--run", picked(32), "--out", tmp_path / "gate")
    status, out, err = evalkit(*held)
    assert status == 2
    assert "--rechunked 'OLD -> NEW'" in err
    status, out, err = evalkit(*held, "--rechunked", "64/0 -> 32/0", "--margin", "0.5")
    assert status == 0, out + err
    checks = json.loads((tmp_path / "gate" / "gate.json").read_text())["checks"]
    assert {"docs (32/0): chunks", "bm25 on docs (32/0): hit_rate@5"} <= {check["name"] for check in checks}
    status, out, err = evalkit(*held, "--rechunked", "->")
    assert status == 2
    assert "write 'OLD -> NEW'" in err
