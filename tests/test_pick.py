"""From a folder of documents to a choice."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from fakes import as_files, some_of_ten_k

import evalkit as package
from evalkit.errors import ConfigError
from evalkit.picking.documents import Chunking, read_folder, split
from evalkit.picking.programs import programs_of
from evalkit.results import Results
from evalkit.runner.pace import Pace
from evalkit.tasks import load_task

KEYS = {"top_k": "5,10", "device": "cpu", "seed": 3}
MINILM = "all-MiniLM-L6-v2?max_length=8"  # short, for time


@pytest.fixture(scope="module")
def of_files(data_dir, tmp_path_factory):
    """A hundred of the 10-K passages as a task and as files, and their questions with the files that answer them."""
    top = tmp_path_factory.mktemp("ten-k")
    task = load_task(some_of_ten_k(data_dir, top))
    as_files(task, top)
    return top


def models(data_dir: Path) -> dict[str, object]:
    return {
        "models": ["bm25", "tfidf", f"static:{data_dir / 'potion-base-4m-int8'}", MINILM],
        "rerankers": [f"static:{data_dir / 'potion-base-4m-int8'}"],
    }


@pytest.mark.slow
def test_the_table_is_that_of_a_run_on_the_same_cells(of_files, data_dir, tmp_path):
    picked = package.pick(
        of_files / "docs", questions=of_files / "questions.jsonl", chunk_size=None,
        require="licence~apache|mit", out=tmp_path, **models(data_dir), **KEYS,
    )  # fmt: skip
    static = f"static:{data_dir / 'potion-base-4m-int8'}"
    named = models(data_dir)
    named["models"] += [f"{how}({model}, bm25)" for model in (static, MINILM) for how in ("rrf", "weighted")]
    expected = package.run(tasks=str(of_files / "ten-k.json"), **named, **KEYS).scores
    found = picked.results.scores
    columns = ["model", "reranker", "metric", "score", "ci_low", "ci_high", "n"]
    assert len(found.groupby(["model", "reranker"], observed=True)) == 16
    assert set(found["n"]) == {200}
    pd.testing.assert_frame_equal(found[columns], expected[columns], rtol=0, atol=1e-12, check_categorical=False)
    assert len(picked.results.measurements.cells) == 16
    assert (picked.results.measurements.cells["note"] == "").all()
    # The weights in a folder are of unknown licence: that cannot be told, and is said.
    assert {choice.model for choice in picked.recommendation.choices if choice.allowed} == {
        "bm25", "tfidf", MINILM, f"rrf({MINILM}, bm25)", f"weighted({MINILM}, bm25)",
    }  # fmt: skip
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"recommendation.md", "chunkings.csv", "measurements.csv", "scores.csv", "leaderboard.md"}
    pd.testing.assert_frame_equal(Results.read(tmp_path).scores, found, check_categorical=False)


def documents(top: Path) -> None:
    """A few files of two subjects, and questions with quotes."""
    (top / "docs").mkdir()
    facts = {
        "cats": ["A cat sleeps sixteen hours a day.", "Whiskers measure the width of a gap.",
                 "Kittens open their eyes late."],
        "trains": ["A train brakes over a kilometre.", "Rails expand in summer heat.",
                   "A signal at danger shows red."],
    }  # fmt: skip
    for name, sentences in facts.items():
        (top / "docs" / f"{name}.md").write_text(
            "\n\n".join(each + " Nobody disputes it. " * 6 for each in sentences)
        )
    rows = [
        ("How long does a cat sleep?", "A cat sleeps sixteen hours a day."),
        ("What do whiskers measure?", "Whiskers measure the width of a gap."),
        ("When do rails expand?", "Rails expand in summer heat."),
        ("What colour is a signal at danger?", "A signal at danger shows red."),
    ]
    pd.DataFrame(rows, columns=["question", "quote"]).to_csv(top / "questions.csv", index=False)


def test_the_command_recommends_and_writes(evalkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    documents(tmp_path)
    (tmp_path / "docs" / "photo.png").write_bytes(b"\x89PNG\0")
    status, out, err = evalkit(
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--models", "bm25,tfidf",
        "--chunk-size", "32,64", "--chunk-overlap", "8", "--require", "dim<=512, latency_p95<10s",
        "--device", "cpu", "--out", "out", "--report",
    )  # fmt: skip
    assert status == 0, err
    page = (tmp_path / "out" / "report.html").read_text()
    headline = (
        "Only 2 of 3 files (99 % of the bytes) were read: not 1 .png. "
        "Not enough questions: 4 tell none of 4 choices apart"
    )
    assert page.index(f"<p><strong>{headline}.") < page.index("has the best")
    assert headline in " ".join(out.split())
    assert len(out.splitlines()) <= 8
    text = (tmp_path / "out" / "recommendation.md").read_text()
    assert text.startswith(f"# {headline}\n")
    assert "No other choice was shown to be worse. Ask more questions" in text
    assert "## How sure this is" in text
    results = Results.read(tmp_path / "out")
    assert set(results.scores["split"]) == {"32/8", "64/8"}
    assert len(results.measurements.cells) == 4
    chunkings = pd.read_csv(tmp_path / "out" / "chunkings.csv")
    assert chunkings[["chunking", "model"]].to_numpy().tolist() == [
        [size, model] for size in ("32/8", "64/8") for model in ("bm25", "tfidf")
    ]
    assert (chunkings[["files", "skipped"]] == [2, 1]).all(axis=None)
    assert "## Chunkings, with" in text
    row = chunkings.iloc[1]
    cell = results.measurements.cells.query("split == '32/8' and model == 'tfidf'").iloc[0]
    assert row["corpus_bytes"] == pytest.approx(cell["corpus_bytes"])
    # The text that five chunks hold together, by another way: the tokenizer over what was ranked.
    from llama_index.core.utils import get_tokenizer

    ranked = results.evidence.rankings.query("split == '32/8' and model == 'tfidf' and rank <= 5")
    texts = results.evidence.documents.query("split == '32/8'").set_index("document")["text"]
    total = sum(len(get_tokenizer()(texts[document])) for document in ranked["document"])
    assert row["tokens_at_k"] == pytest.approx(total / 4)
    assert results.provenance["pick"]["documents"]["skipped"][0]["name"] == "photo.png"


def test_the_programs_of_a_pick_run_anywhere_and_rank_as_it_did(data_dir, tmp_path):
    """Those of a hybrid whose weight the questions chose, from an output folder that was written by the pick."""
    documents(tmp_path)
    static = f"static:{data_dir / 'potion-base-4m-int8'}"
    picked = package.pick(
        tmp_path / "docs", questions=tmp_path / "questions.csv", models=static, chunk_size=[32, 64], chunk_overlap=8,
        device="cpu", require="latency_p95<10s, parameters<=1000000", context_tokens=200, out=tmp_path / "out",
    )  # fmt: skip
    choice = picked.recommendation.choice
    text = (tmp_path / "out" / "recommendation.md").read_text(encoding="utf-8")
    assert "## Why these models\n\n- The documents are in English (100%)." in text
    if choice is None:  # a tie that few questions do not tell apart: nothing to write code of
        assert "## The code" not in text
        choice = next(each for each in picked.recommendation.choices if each.model.startswith("weighted"))
    folder = read_folder(tmp_path / "docs")
    chunks = {each: split(folder, each) for each in (Chunking(32, 8), Chunking(64, 8))}
    programs = programs_of(choice, picked.results, folder, chunks, tmp_path / "out", picked.recommendation.metric)
    for name, program in programs.files.items():
        (tmp_path / "out" / name).write_text(program, encoding="utf-8")
    run = [sys.executable, tmp_path / "out" / "search.py", "How long does a cat sleep?"]
    found = subprocess.run(run, capture_output=True, text=True, check=True, cwd=tmp_path.parent).stdout
    ranked = picked.results.evidence.rankings.query("query == '2' and model == @choice.model")
    ranked = ranked[ranked["split"] == choice.chunking].sort_values("rank")
    ids = [line.split("  ", 1)[1] for line in found.splitlines() if "#" in line]
    assert "CONTEXT_TOKENS = 200" in programs.programs["search.py"]
    assert ids[: len(ranked)] == ranked["document"].tolist()[: len(ids)]
    weights = [each["weights"]["all"] for each in picked.results.provenance["cells"] if "weights" in each]
    if choice.model.startswith("weighted"):
        assert any(f"({weight:g}, 1 - {weight:g})" in programs.programs["search.py"] for weight in weights)


def untimed(monkeypatch, **of_models: Pace) -> None:
    """Models are not timed before they run: those that are named take what is given, others nothing."""

    def told(plan, context, seed, seconds):
        return {label: of_models.get(label.partition("?")[0], Pace()) for label in plan.participants.all}

    monkeypatch.setattr("evalkit.picking.pick.paces", told)


def test_a_pick_with_cells_that_fail_says_where_the_reasons_are(evalkit, tmp_path, monkeypatch):
    """No tables are shown unless they are asked for, and what is left was not allowed by anybody."""
    documents(tmp_path)
    untimed(monkeypatch)
    given = (
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--models", "bm25,bow",
        "--chunker", "late", "--no-hybrid", "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    status, out, err = evalkit(*given)
    assert status == 1
    assert "1 cell(s) failed; the reasons are in" in err
    assert "leaderboard.md" in err
    assert "late" in (tmp_path / "out" / "leaderboard.md").read_text()
    assert "it is the only one that ran." in out.replace("\n", " ")
    assert "1 cell(s) failed; the reasons are in the tables above." in evalkit(*given, "--verbose")[2]


def test_an_interrupted_pick_is_partial(evalkit, tmp_path, monkeypatch):
    from evalkit.models import lexical

    documents(tmp_path)
    untimed(monkeypatch)

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lexical.Tfidf, "encode", stop)
    status, out, err = evalkit(
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--models", "bm25,tfidf",
        "--chunk-size", "whole", "--device", "cpu", "--store", tmp_path / "store", "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 130, err
    assert "PARTIAL" in out
    assert [cell["model"] for cell in Results.read(tmp_path / "out").missing] == ["tfidf"]


@pytest.mark.slow
def test_interrupted_while_measuring_the_next_pick_goes_on(evalkit, tmp_path, monkeypatch):
    documents(tmp_path)
    command = (
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.csv", "--models", "bm25,tfidf,bow",
        "--rerankers", "tfidf", "--chunk-size", "whole", "--device", "cpu", "--store", tmp_path / "store",
        "--out", tmp_path / "out",
    )  # fmt: skip
    with monkeypatch.context() as patched:
        measured = stop_at(patched, 2)
        status, out, err = evalkit(*command)
    assert measured == ["bm25", "tfidf"]
    assert status == 130, err
    assert "PARTIAL" not in out
    assert "not measured: it was interrupted before" in " ".join(out.split())
    assert "All scores are in" in err
    assert not (tmp_path / "out" / "recommendation.md").exists()
    partial = Results.read(tmp_path / "out")
    cells = partial.measurements.cells.set_index(["model", "reranker"])
    assert set(partial.scores["model"]) == {"bm25", "tfidf", "bow"}
    assert cells.index[cells["note"] == ""].tolist() == [("bm25", "none")]

    with monkeypatch.context() as patched:
        stop_at(patched, 7)  # at the reranker: all first stages are measured, each in two turns
        assert evalkit(*command)[0] == 130
    first_stages = Results.read(tmp_path / "out").measurements.cells.query("note == ''").set_index("model")
    assert set(first_stages.index) == {"bm25", "tfidf", "bow"}

    status, _, err = evalkit(*command)
    assert status == 0, err
    assert (tmp_path / "out" / "recommendation.md").exists()
    assert not (tmp_path / "out" / "measured").exists()
    results = Results.read(tmp_path / "out")
    assert results.provenance["computed"] == 0
    pd.testing.assert_frame_equal(results.scores, partial.scores, check_exact=True)
    whole = results.measurements.cells
    assert (whole["note"] == "").all()
    # Two measurements of one model are never equal to the last digit: these are the ones that were kept.
    of_first = whole.query("reranker == 'none'").set_index("model")
    pd.testing.assert_frame_equal(of_first, first_stages, check_exact=True, check_like=True, check_dtype=False)
    assert of_first.loc["bm25", "latency_p50_ms"] == cells.loc[("bm25", "none"), "latency_p50_ms"]


def stop_at(monkeypatch, number: int) -> list[str]:
    """Ctrl-C comes when the model of this number is measured; the labels of those that began to be."""
    from evalkit.runner.measure import _cells as cells

    in_child, began = cells.in_child, []

    def measured(job):
        began.append(job.label)
        if len(began) == number:
            raise KeyboardInterrupt
        return in_child(job)

    monkeypatch.setattr(cells, "in_child", measured)
    return began


def test_interrupted_while_sampling_the_sample_is_there(evalkit, tmp_path, monkeypatch):
    from evalkit.models import lexical

    documents(tmp_path)
    asked = [{"question": f"How long does cat {n} sleep?", "file": "cats.md"} for n in range(20)]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, asked)))

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lexical.Tfidf, "encode", stop)
    slow = Pace(query=1.0)
    untimed(monkeypatch, bm25=slow, tfidf=slow)
    models = [f"bm25?k1={k1}" for k1 in (0.5, 0.8, 1, 1.2, 1.5, 1.8, 2)]
    status, out, _ = evalkit(
        "pick", tmp_path / "docs", "--questions", tmp_path / "questions.jsonl", "--chunk-size", "whole",
        "--models", ",".join([*models, "tfidf"]), "--budget", "150s", "--measure-seconds", "0.5", "--device", "cpu",
        "--store", tmp_path / "store", "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 130
    assert "PARTIAL" in out
    results = Results.read(tmp_path / "out")
    assert [cell["model"] for cell in results.missing] == ["tfidf"]
    assert set(results.scores["n"]) == {10}, "the first sample"


def test_without_questions_they_are_made_and_can_be_edited(tmp_path, evalkit, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "cats.md").write_text(
        "# How a cat sleeps\n\nA cat sleeps sixteen hours a day, most of them while the sun is on its blanket.\n\n"
        "Whiskers measure the width of every gap before the shoulders follow through it.\n"
    )
    given = ["pick", tmp_path / "docs", "--chunk-size", "64", "--chunk-overlap", "8"]
    status, shown, _ = evalkit(*given, "--top-k", "1", "--device", "cpu", "--out", "out", "--report")
    assert status == 0
    # Such questions recommend nothing, and every output says so, with what to do.
    run = json.loads((tmp_path / "out" / "run.json").read_text())["pick"]
    assert run["questions"]["decides"] is False
    assert run["questions"]["method"] == "sentences and headings, taken out of what is searched"
    assert 0 <= run["questions"]["overlap"] <= 1
    for text in (
        shown,
        " ".join(run["recommendation"]),
        *((tmp_path / "out" / name).read_text() for name in ("leaderboard.md", "recommendation.md", "report.html")),
    ):
        told = " ".join(text.split())
        assert "No recommendation: these questions cannot say which model is best" in told
        assert "Write 20 that your users would ask" in told
        assert not [said for said in ("# Use ", "<strong>Use ", "If it must be fast") if said in told]
    text = (tmp_path / "out" / "recommendation.md").read_text()
    assert "of a question's words stand in the passages that answer it; of real questions" in text
    assert "pairs of choices apart" in text
    assert "| fewer words | more words |" in text
    assert "questions.jsonl (edit them)" in " ".join(shown.split())
    assert len(shown.splitlines()) <= 8
    questions = tmp_path / "out" / "questions.jsonl"
    made = [json.loads(line) for line in questions.read_text().splitlines()]
    assert made
    assert {row["kind"] for row in made} <= {"heading", "sentence"}
    assert all(row["taken_out"] for row in made)
    documents = Results.read(tmp_path / "out").evidence.documents["text"]
    assert not any(row["question"] in " ".join(text.split()) for row in made for text in documents)
    first = Results.read(tmp_path / "out").scores
    assert {"bm25", "tfidf", "all-MiniLM-L6-v2"} <= set(first["model"])
    given += ["--models", "bm25"]
    edited = tmp_path / "edited.jsonl"
    edited.write_text("\n".join(map(json.dumps, made[:1])))
    status, *_ = evalkit(*given, "--top-k", "1", "--device", "cpu", "--out", tmp_path / "out", "--questions", edited)
    assert status == 0
    assert set(first["n"]) == {len(made)}
    assert set(Results.read(tmp_path / "out").scores["n"]) == {1}


def test_a_budget_cuts_choices_or_not(tmp_path, monkeypatch):
    """What is slow is left out, pairs are halved, everything fits into an hour, nothing into no time; what is left
    has the scores of the full table.
    """
    (tmp_path / "docs").mkdir()
    for subject in ("cats", "trains"):
        facts = [f"Number {n} of the {subject} sleeps for {n * n + 2} hours and runs {n} miles. " for n in range(20)]
        (tmp_path / "docs" / f"{subject}.md").write_text("".join(facts))
    asked = [(n, subject) for n in range(20) for subject in ("cats", "trains")]
    questions = [
        {"question": f"How many hours does number {n} of the {of} sleep?", "quote": f"Number {n} of the {of} sleeps"}
        for n, of in asked
    ]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, questions)))
    keys = {
        "questions": tmp_path / "questions.jsonl", "models": "bm25,tfidf,bow,lsa?components=4", "rerankers": "bm25",
        "chunk_size": 24, "chunk_overlap": 0, "top_k": 1, "device": "cpu", "hybrid": False, "measure_seconds": 0.1,
    }  # fmt: skip
    full = package.pick(tmp_path / "docs", budget=3600, **keys)
    # All pairs of three models take 40 * 2 * (1 + 2 / 2) * 5 s, those that halving leaves 700 s.
    untimed(monkeypatch, bm25=Pace(pair=5.0), lsa=Pace(ready=1000.0))
    cut = package.pick(tmp_path / "docs", budget=850, **keys)
    labels = ["split", "model", "reranker", "metric"]
    assert full.results.provenance["pick"]["budget"]["cut"] == []
    assert len(full.recommendation.choices) == 8
    told = cut.results.provenance["pick"]["budget"]
    assert {each["model"] for each in told["untried"]} == {"lsa?components=4"}
    assert len(told["cut"]) == 4
    assert {each["n"] for each in told["cut"]} <= {10, 20}
    assert len(cut.recommendation.choices) == 2
    measured = cut.results.measurements.cells
    assert len(measured) == 2, "what was cut is not measured"
    everything = full.results.scores.astype(dict.fromkeys(labels, str)).set_index(labels)
    some = cut.results.scores.astype(dict.fromkeys(labels, str)).set_index(labels)
    pd.testing.assert_series_equal(some["score"], everything.loc[some.index, "score"], check_exact=True)
    from evalkit.picking._recommendation import to_text

    text = to_text(cut.recommendation, cut.results)
    assert "The 2 that take longest were not tried." in text
    for each in told["cut"]:
        assert f"{each['score']:.3f} on {each['n']} questions" in text
    assert "All 8 choices fit into the budget of 60 min." in to_text(full.recommendation, full.results)
    with pytest.raises(ConfigError, match=r"too short: the least that this pick takes is about"):
        package.pick(tmp_path / "docs", budget=1e-6, **keys)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"margin": 2}, r"margin=2: .* a fraction .* below 1, such as 0\.02\. For 2 % write 0\.02"),
        ({"margin": 0}, r"margin=0: .* above 0"),
        ({"metric": "nDCG@7"}, r"the run computes no nDCG@7. .*Add its rank to top_k"),
        ({"metric": "accuracy"}, r"unknown metric 'accuracy'"),
        ({"require": "hit_rate@10>0.5"}, r"the run computes no hit_rate@10. .*Add its rank to top_k"),
        ({"require": "latency_p95<50"}, r"has no unit"),
    ],
)
def test_what_cannot_be_meant_is_told_before_anything_is_read(options, told):
    """There is no such folder: reading it would fail with another message."""
    with pytest.raises(ConfigError, match=told):
        package.pick("there-is-no-such-folder", models="bm25", device="cpu", **options)
