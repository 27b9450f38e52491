"""The command line: what it prints where, its exit status, and the files it leaves."""

import json
import subprocess
import sys
from io import StringIO

import pytest
from fakes import write_tasks
from rich.console import Console

from evalkit.models.registry import catalogue, families
from evalkit.progress import Progress

FILES = {
    "evidence",
    "leaderboard.md",
    "leaderboard.tex",
    "leaderboard.csv",
    "scores.csv",
    "results.parquet",
    "run.json",
}
MISSING = "glove:no-such-file.txt"
WHY = (
    "no file 'no-such-file.txt' with word vectors. Allowed: GloVe text (a word and its numbers a line, no header "
    "line); .gz too."
)


@pytest.fixture
def pets(tmp_path):
    return write_tasks(tmp_path)[0]


def provenance(folder):
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


def test_run_writes_its_files(evalkit, pets, tmp_path):
    """Nothing on standard error, which is no terminal here: no progress bar either."""
    out = tmp_path / "new" / "out"
    given = ["--models", "bm25,tfidf", "--tasks", pets, "--rerankers", "bm25", "--device", "cpu"]
    status, shown, errors = evalkit("run", *given, "--out", out)
    assert (status, errors) == (0, "")
    assert {file.name for file in out.iterdir()} == FILES
    assert f"Written to {out}: " in shown.replace("\n", "")
    for text in ("Retrieval: pets (test), 3 queries, 4 documents", "Grid: pets (test)", "bm25:", "tfidf"):
        assert text in shown
    markdown = (out / "leaderboard.md").read_text(encoding="utf-8")
    assert markdown.startswith("### Retrieval: pets (test), 3 queries, 4 documents\n\n| Model | Rank | Hit Rate@5 |")
    assert "1 more queries have no relevant document and are excluded." in markdown


def test_a_failing_model_shows_its_reason_in_the_exit_status_too(evalkit, pets, tmp_path):
    status, shown, errors = evalkit("run", "--models", f"bm25,{MISSING}", "--tasks", pets, "--out", tmp_path / "out")
    assert status == 1
    assert errors == "1 cell(s) failed; the reasons are in the last table.\n"
    assert "no-such-file.txt" in shown
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    assert WHY in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8").replace("\\", "")
    assert [failure["reason"] for failure in provenance(tmp_path / "out")["failures"]] == [WHY]


def test_suite_file_and_options_give_the_same_config_and_options_win(evalkit, pets, tmp_path):
    suite = tmp_path / "suite.yaml"
    suite.write_text(
        f"models: [bow, tfidf]\ntasks: ['{pets}']\ntop_k: [1, 3]\nseed: 4\ndtype: float16\ndevice: cpu\n"
    )
    given = ["--models", "bow,tfidf", "--tasks", pets, "--top-k", "1,3", "--seed", "4", "--dtype", "float16"]
    assert evalkit("run", suite, "--out", tmp_path / "file")[0] == 0
    assert evalkit("run", *given, "--device", "cpu", "--out", tmp_path / "options")[0] == 0
    assert evalkit("run", suite, "--seed", "5", "--models", "bow", "--out", tmp_path / "both")[0] == 0
    file, options, both = (provenance(tmp_path / name) for name in ("file", "options", "both"))
    assert file["config"] == options["config"]
    assert (file["dtype"], file["device"]) == ("float16", "cpu")
    assert both["config"] == {**file["config"], "seed": 5, "models": ["bow"]}


MISTAKES = {
    "no models": (["run"], "the suite cannot be run: models: Field required; tasks: Field required"),
    "unknown suite": (["run", "demoo"], "no suite 'demoo': neither a file nor bundled. Did you mean 'demo'?"),
    "unknown family": (
        ["run", "--models", "tfidff", "--tasks", "sts-mini"],
        "unknown model 'tfidff': neither in the catalogue, nor a FAMILY:NAME spec, nor a folder here. "
        "Did you mean 'tfidf'? "
        "`evalkit models` lists them.",
    ),
    "unknown option of a model": (
        ["run", "--models", "bow?ngram=2", "--tasks", "sts-mini"],
        "'bow?ngram=2': unknown option 'ngram'. Did you mean 'ngrams'?",
    ),
    "bad value": (
        ["run", "--models", "bow", "--tasks", "sts-mini", "--device", "gpu"],
        "the suite cannot be run: device: Input should be 'auto', 'cpu', 'cuda' or 'mps', got 'gpu'",
    ),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_one_line(evalkit, arguments, message):
    assert evalkit(*arguments) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["rnu"], "Error: No such command 'rnu'", "run"),
        (["run", "--model", "bow"], "Error: No such option: --model", "--models"),
        (["run", "--seed", "x"], "Error: Invalid value for '--seed'", "integer"),
    ],
    ids=["command", "option", "value"],
)
def test_usage_errors(evalkit, arguments, message, hint):
    status, shown, errors = evalkit(*arguments)
    assert (status, shown) == (2, "")
    assert errors.startswith("Usage: ")
    last = errors.splitlines()[-1]
    assert last.startswith(message)
    assert hint in last.removeprefix(message)


def test_a_real_process(pets, tmp_path):
    """pytest records warnings, so what is shown of one is seen in a process of its own."""
    qrels = tmp_path / "pets" / "qrels" / "test.tsv"
    qrels.write_text(qrels.read_text() + "q1\tno-such-document\t1\n")
    arguments = [
        "evalkit", "run", "--models", "bm25", "--tasks", pets, "--on-bad-data", "warn", "--device", "cpu",
        "--out", str(tmp_path / "out"),
    ]  # fmt: skip
    code = f"import sys; sys.argv = {arguments!r}; from evalkit.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0
    first, problem, *accepted = done.stderr.splitlines()
    assert first == f"warning: {pets}: 1 problem(s) in the data:"
    assert problem == "  - qrels/test.tsv: judgement of an absent document (1): 'no-such-document' (query 'q1')"
    assert len(accepted) == 1, "no progress bar, no traceback, no source line"


def test_models_lists_families_and_catalogue(evalkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    status, shown, errors = evalkit("models")
    assert (status, errors) == (0, "")
    assert all(name in shown for name in [*families(), *catalogue()])


def test_models_and_tasks_search(evalkit, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    _, shown, _ = evalkit("models", "MiniLM")
    assert "all-MiniLM-L6-v2" in shown
    assert "tfidf" not in shown
    _, shown, _ = evalkit("tasks", "STS-")
    assert "sts-mini" in shown
    assert "rag-mini" not in shown
    assert evalkit("models", "xyzzy")[1].count("Nothing contains 'xyzzy'.") == 2


def test_tasks_lists_ones_own(evalkit, monkeypatch, pets, tmp_path):
    monkeypatch.setenv("EVALKIT_DATA", str(tmp_path))
    _, shown, _ = evalkit("tasks")
    assert all(name in shown for name in ("sts-mini", "rag-mini", "pets"))


def test_gpu_that_is_not_there(evalkit, pets):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("a GPU is there")
    there = "auto, mps, cpu" if torch.backends.mps.is_available() else "auto, cpu"
    assert evalkit("run", "--models", "bow", "--tasks", pets, "--device", "cuda") == (
        2, "", f"error: device 'cuda' is not on this machine. Allowed here: {there}.\n",
    )  # fmt: skip


@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "file"])
def test_progress_shows_on_a_terminal_only(terminal):
    console = Console(file=StringIO(), force_terminal=terminal, width=100)
    with Progress(console) as progress, progress.step("pets: bow", 4) as advance:
        advance(3)
        progress._bars.refresh()
    shown = console.file.getvalue()
    if terminal:
        assert "pets: bow" in shown
        assert "3/4" in shown
    else:
        assert shown == ""
