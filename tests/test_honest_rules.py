"""DESIGN.md, "Rules that keep the numbers honest": a test or more for each, end to end. Rule 5 is in tests/search."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeReranker, failures, ranked, retrieval_task, run, write_tasks

import evalkit
from evalkit.compute import Compute
from evalkit.models.registry import build, parse_spec

WORDS = "cat 1 0 1\ndogs 0 1 1\nbark 0.5 1 0\nfish 1 1 0\nrain 0.1 0.2 1\nfalls 1 0.3 0.2\nreads 0.3 0.9 0.1\n"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    """A folder of tiny random BERTs: `base`, `other` weights, and a `copy` of base."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parent / "models")
        from tiny_models import save_tiny
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny(folder / "base")
    save_tiny(folder / "other", seed=1)
    shutil.copytree(folder / "base", folder / "copy")
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    return write_tasks(tmp_path_factory.mktemp("tasks"))


def fingerprints(models, tasks, **keys):
    """By model and task."""
    results = evalkit.run(models=models, tasks=tasks, device="cpu", **keys)
    assert results.failures == []
    return {(cell["model"], cell["task"]): cell["fingerprint"] for cell in results.provenance["cells"]}


def test_rule_1_a_fingerprint_holds_everything_that_changes_the_vectors(tiny, tasks):
    """Rule 1: "A cache key holds everything that changes the value"."""
    options = [
        "pooling=cls", "query_prompt=ask", "document_prompt=ask", "normalize=true", "max_length=8", "dim=8",
        "dtype=bfloat16", "layer=1",
    ]  # fmt: skip
    base, other = f"bert:{tiny / 'base'}", f"bert:{tiny / 'other'}"
    models = [base, other, *(f"{base}?{option}" for option in options)]
    found = fingerprints(models, tasks[0])
    assert len(set(found.values())) == len(models)
    assert fingerprints([base], tasks[0], dtype="bfloat16")[base, "pets"] != found[base, "pets"]


def test_rule_1_identity_is_not_the_place_of_a_file(tiny, tasks):
    """Rule 1: "Identity never comes from a file name alone"."""
    base, copy = f"bert:{tiny / 'base'}", f"bert:{tiny / 'copy'}"
    found = fingerprints([base, copy], tasks[0])
    assert found[base, "pets"] == found[copy, "pets"]


def test_rule_1_a_file_with_new_content_has_a_new_fingerprint(tasks, tmp_path):
    """Rule 1: the weights' hash, not the file's name or time."""
    path = tmp_path / "words.txt"
    found = []
    for content in (WORDS, WORDS.replace("cat 1 0 1", "cat 1 0 2"), WORDS):
        path.write_text(content)
        found.append(fingerprints(f"glove:{path}", tasks[1])[f"glove:{path}", "pairs"])
    assert found[0] == found[2] != found[1]


def test_rule_1_fitted_models_hold_their_corpus(tasks, tmp_path):
    """Rule 1: "the fitted corpus for fitted embedders"."""
    again, _ = write_tasks(tmp_path)
    corpus = Path(again) / "corpus.jsonl"
    models = ["tfidf", "lsa", "bm25", "word2vec:train?size=4&epochs=1"]
    before = fingerprints(models, tasks[0])
    assert fingerprints(models, again) == before
    corpus.write_text(corpus.read_text().replace("fish swim", "fish sleep"))
    after = fingerprints(models, again)
    assert all(after[key] != before[key] for key in before)


def test_rule_2_no_judged_query_is_dropped(tasks):
    """Rule 2: "No result for it scores 0 and is counted; a query without judgements is [...] excluded"."""
    results = evalkit.run(models="bm25", tasks=tasks[0], device="cpu", top_k=1)
    values = results.records[results.records["metric"] == "nDCG@1"].set_index("id")["value"]
    assert values.to_dict() == {"q1": 0.0, "q2": 1.0, "q3": 0.0}  # no text has q3's zebra
    scores = results.scores.set_index("metric").loc["nDCG@1"]
    assert (scores["score"], scores["n"]) == (pytest.approx(1 / 3), 3)
    assert results.provenance["tasks"][0]["excluded_queries"] == 1


def test_rule_3_undefined_is_nan_and_said(tasks, tmp_path):
    """Rule 3: "Undefined is NaN and said, never 0": pairs without a known word, here all but one."""
    words = tmp_path / "words.txt"
    words.write_text("rain 1 0\ndry 0 1\n")
    out = tmp_path / "out"
    results = evalkit.run(models=f"glove:{words}", tasks=tasks[1], device="cpu", out=out)
    cosine = results.records[results.records["metric"] == "cosine"]["value"]
    assert np.isnan(cosine).tolist() == [True] * 5 + [False]
    assert set(results.scores["n"]) == {1}
    assert results.scores["score"].isna().all()
    markdown = (out / "leaderboard.md").read_text(encoding="utf-8")
    assert "Pairs with a text of which the model knows no word are left out." in markdown
    assert "nan" in markdown
    blank = results.provenance["cells"][0]["texts_without_known_word"]
    assert "a cat naps" in blank
    assert "rain falls" not in blank


@pytest.mark.parametrize(
    ("value", "what"), [(np.nan, "that are not finite"), (np.inf, "that are not finite"), (0, "that are all zero")]
)
def test_rule_3_vectors_that_cannot_be_scored_stop_the_cell(value, what):
    """Rule 3: "Non-finite or zero vectors stop the cell with an error that names model and text id"."""
    task = retrieval_task({"d1": "cat", "d2": "dog"}, {"q1": "meow"})
    model = FakeEmbedder({"cat": (1, 2), "dog": (value, value), "meow": (1, 1)})
    assert failures(run([task], {"m": model})) == {
        ("pets", "m", "none"): f"model 'm' gave vectors {what} for 1 of 2 texts: 'd2'."
    }


@pytest.mark.parametrize("spec", ["bm25", "bow", "tfidf", "lsa?components=2", "bow?similarity=euclidean", "reranker"])
def test_rule_4_ties_are_broken_the_same_way_in_every_engine(spec):
    """Rule 4: "(score, then document id)": equal texts come in descending order of their ids, as strings."""
    texts = {number: "cats sleep" if number % 2 else "dogs bark" for number in (10, 9, 100, 2, 1, 7, 6, 99)}
    task = retrieval_task({str(number): text for number, text in texts.items()}, {"q": "cats"})
    if spec == "reranker":
        # What the embedder likes more and more is all the same to the reranker.
        model = FakeEmbedder({"cats": (1, 0), "cats sleep": (2, 1), "dogs bark": (1, 1)})
        outcome = run([task], {"m": model}, {"r": FakeReranker(lambda _, text: float(len(text)))}, candidates=8)
    else:
        outcome = run([task], {"m": build(parse_spec(spec), Compute())}, depth=8)
    found = ranked(outcome, task, "m", "r" if spec == "reranker" else "none")["q"]
    without_the_word = [] if spec == "bm25" else ["6", "2", "100", "10"]
    assert found == ["99", "9", "7", "1", *without_the_word]


def test_rule_6_intervals_come_from_the_recorded_seed(tasks):
    """Rule 6: "use an explicit seed": the same seed gives the same bounds, and run.json has it.

    Those of correlations, which are drawn; those of means are computed.
    """

    def bounds(seed):
        results = evalkit.run(models="tfidf,bow", tasks="sts-mini", device="cpu", seed=seed)
        assert results.provenance["seed"] == seed
        return results.scores[["ci_low", "ci_high"]]

    first = bounds(1)
    assert first.equals(bounds(1))
    assert not first.equals(bounds(2))


def test_rule_7_a_failing_model_is_a_row_and_sinks_no_other(tasks, tmp_path):
    """Rule 7: "it is a row that says why"; tests/test_cli.py has the exit status."""
    missing = f"glove:{tmp_path / 'none.txt'}"
    alone = evalkit.run(models="tfidf", tasks=list(tasks), rerankers="bm25", device="cpu")
    results = evalkit.run(models=[missing, "tfidf"], tasks=list(tasks), rerankers="bm25", device="cpu")
    reason = (
        f"no file '{tmp_path / 'none.txt'}' with word vectors. Allowed: GloVe text (a word and its numbers a line, "
        "no header line); .gz too."
    )
    cells = (("pets", "none"), ("pets", "bm25"), ("pairs", "none"))
    splits = {task["task"]: task["split"] for task in results.provenance["tasks"]}
    assert results.failures == [
        {"task": task, "split": splits[task], "model": missing, "reranker": reranker, "reason": reason}
        for task, reranker in cells
    ]
    assert results.scores.equals(alone.scores)
    board = results.leaderboard()
    failed = board[board["model"] == missing]
    assert list(zip(failed["task"], failed["reranker"], strict=True)) == list(cells)


def test_rule_8_float32_on_a_cpu_whatever_the_checkpoint_stores(tiny, tasks, tmp_path):
    """Rule 8: "by default float32 on a CPU": a half-precision checkpoint computes as its float32 copy does."""
    transformers = pytest.importorskip("transformers")
    torch = pytest.importorskip("torch")
    half, full = tmp_path / "half", tmp_path / "full"
    for folder in (half, full):
        shutil.copytree(tiny / "base", folder)
    stored = transformers.AutoModel.from_pretrained(half).to(torch.float16)
    stored.save_pretrained(half)
    stored.to(torch.float32).save_pretrained(full)
    assert '"dtype": "float16"' in (half / "config.json").read_text()
    results = evalkit.run(models=[f"bert:{half}", f"bert:{full}"], tasks=tasks[1], device="cpu")
    halves, fulls = (part["value"].to_numpy() for _, part in results.records.groupby("model", observed=True))
    np.testing.assert_array_equal(halves, fulls)
    assert (results.provenance["device"], results.provenance["dtype"]) == ("cpu", "float32")


def test_rule_8_results_say_which_dtype(tiny, tasks):
    """Rule 8: "dtype is what the user asked for [...] Results say which"."""
    model = f"bert:{tiny / 'base'}"
    single, half = (
        evalkit.run(models=model, tasks=tasks[1], device="cpu", dtype=dtype) for dtype in ("float32", "bfloat16")
    )
    assert half.provenance["dtype"] == "bfloat16"
    values = [results.records.query("metric == 'cosine'")["value"].to_numpy() for results in (single, half)]
    assert not np.array_equal(*values)
    np.testing.assert_allclose(*values, atol=0.1)
