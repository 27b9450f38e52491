"""CONTRIBUTING.md shows how to add a model, a task and a metric, each in under 30 lines: its blocks are run."""

import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.preprocessing import normalize

from evalkit.metrics import ranking
from evalkit.models.registry import families
from evalkit.tasks.kinds import kinds

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S)
(
    MODEL, FAMILY, FAMILY_ENTRY, RERANKER, RERANKER_ENTRY, TASK, KIND, KIND_ENTRY, METRIC, METRIC_ENTRY, SECTION,
    SECTION_ENTRY,
) = (code for _, code in BLOCKS)  # fmt: skip
TRIPLETS = [
    ["how tall is the tower", "the tower is 90 metres tall", "a recipe for bread"],
    ["who wrote the book", "the book was written by a doctor", "the tower is 90 metres tall"],
    ["when is the bakery open", "the bakery is open from six", "who wrote the book"],
    ["bread with olives", "the price of stamps", "olives on bread are good"],
    ["post a letter", "a letter is posted at the counter", "a recipe for bread"],
    ["feed the cat", "the cat is fed twice a day", "how tall is the tower"],
    ["mend a bicycle", "a bicycle shop that mends", "feed the cat"],
]


def run(folder, *command):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": f"{folder}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def call(evalkit, monkeypatch, tmp_path):
    """Runs the command line in this process, where the packages of the empty folder are as installed."""
    known = (families, kinds, ranking._of_plugins)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for names in known:
        names.cache_clear()

    def called(*arguments):
        importlib.invalidate_caches()
        status, shown, errors = evalkit(*arguments)
        assert status == 0, shown + errors
        return shown

    yield called
    for names in known:
        names.cache_clear()


def test_each_is_short():
    longest = {KIND: 46}
    assert [code for _, code in BLOCKS if len(code.splitlines()) > longest.get(code, 30)] == []


def test_a_model(capsys):
    exec(compile(MODEL, "CONTRIBUTING.md", "exec"), {})
    rows = dict(re.findall(r"(bm25|letters) +(0\.\d+)", capsys.readouterr().out))
    assert 0 < float(rows["letters"]) < float(rows["bm25"])


def install(folder, code, entry):
    """Install a package of one module that its first line names, with the entry point that a pyproject.toml has."""
    name = re.match(r"# (\w+)\.py\n", code)[1]
    (folder / f"{name}.py").write_text(code)
    installed = folder / f"{name}-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    group, line = re.search(r'entry-points\."(.*)"\]\n(.*)', entry).groups()
    (installed / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")


def test_a_family(tmp_path, call):
    """The run is a process of its own: there the package is found as one that is installed is."""
    install(tmp_path, FAMILY, FAMILY_ENTRY)
    assert "counts of letters" in call("models", "letters")
    out = run(
        tmp_path, "evalkit", "run", "--models", "letters,letters?alphabet=etaoin", "--tasks", "sts-mini", "--no-store"
    )
    assert "letters?alphabet=etaoin" in out


def test_a_reranker(tmp_path, call):
    install(tmp_path, RERANKER, RERANKER_ENTRY)
    asked = ["--models", "bm25", "--rerankers", "overlap", "--tasks", "rag-mini", "--no-store", "--out", "run"]
    call("run", *asked)
    scores = pd.read_csv(tmp_path / "run" / "scores.csv")
    assert scores[scores["reranker"] == "overlap"]["ci_low"].notna().all()
    assert "no weights" not in (tmp_path / "run" / "run.json").read_text().split('"overlap"')[1][:300]


def test_a_task(tmp_path, call):
    before, command = TASK.split("\nevalkit ")
    run(tmp_path, "bash", "-euc", before)
    assert "stars" in call(*shlex.split(command))


def test_a_kind_of_task(tmp_path, call):
    """Beside a task of another kind: it is in each output, and its score is what plain numpy says."""
    install(tmp_path, KIND, KIND_ENTRY)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "task.yaml").write_text("type: triplets\nname: odd\nsplits: {test: test.jsonl}\n")
    (tmp_path / "odd" / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TRIPLETS))
    how = ["--tasks", "odd,rag-mini", "--max-queries", "60", "--no-store"]
    assert "7 triplets" in call("run", "--models", "tfidf,bow", *how, "--dry-run")
    shown = call("run", "--models", "tfidf,bow,bm25", *how, "--out", "before", "--report")
    assert re.search(r"Triplets: odd \(test\), 7 triplets", shown)
    call("run", "--models", "bow?stop_words=english,tfidf", *how, "--out", "after")
    scores = pd.read_csv(tmp_path / "before" / "scores.csv").set_index(["task", "model", "metric"])
    found = scores.loc[("odd", "bow", "accuracy")]
    count = CountVectorizer().fit([text for row in TRIPLETS for text in row])
    first, near, far = (normalize(count.transform(side)) for side in zip(*TRIPLETS, strict=True))
    closer = first.multiply(near).sum(axis=1) > first.multiply(far).sum(axis=1)
    assert found["score"] == pytest.approx(closer.mean())
    assert found["n"] == 7
    assert found["ci_low"] < found["score"] < found["ci_high"] + 1e-9
    for file in ("leaderboard.md", "leaderboard.tex", "report.html"):
        assert "Accuracy" in (tmp_path / "before" / file).read_text(), file
    assert "accuracy" in pd.read_csv(tmp_path / "before" / "leaderboard.csv").columns
    compared = call("compare", "before", "after", "--pair", "bow -> bow?stop_words=english")
    assert "odd (test), accuracy" in compared
    call("baseline", "before", "--out", "baseline.json")
    call("gate", "baseline.json", "--run", "before", "--drift", "off")
    assert "on odd (test): accuracy" in (tmp_path / "reports" / "gate" / "gate.md").read_text()


def test_a_metric(tmp_path, call):
    """It is in each output, and its values lie between those that they are the harmonic means of."""
    install(tmp_path, METRIC, METRIC_ENTRY)
    asked = ["--tasks", "rag-mini", "--max-queries", "60", "--rerankers", "none,tfidf", "--no-store"]
    call("run", "--models", "bm25", *asked, "--out", "before", "--report")
    shown = call("run", "--models", "bm25?k1=0.3", *asked, "--out", "after")
    assert "F1@5" in shown
    scores = pd.read_csv(tmp_path / "before" / "scores.csv").set_index(["reranker", "metric"])["score"]
    assert min(scores["none"][["P@5", "R@5"]]) < scores["none", "f1@5"] < max(scores["none"][["P@5", "R@5"]])
    for file in ("leaderboard.md", "leaderboard.tex", "report.html"):
        assert "F1@5" in (tmp_path / "before" / file).read_text(), file
    assert "f1@5" in pd.read_csv(tmp_path / "before" / "leaderboard.csv").columns
    assert "f1@5" in call("compare", "before", "after", "--pair", "bm25 -> bm25?k1=0.3")
    call("baseline", "before", "--out", "baseline.json")
    gate = ["gate", "baseline.json", "--run", "before", "--drift", "off"]
    call(*gate, "--metrics", "f1@5", "--margin", "0.5", "--floor", "f1@5=0.1")
    assert "f1@5 at least 0.1" in (tmp_path / "reports" / "gate" / "gate.md").read_text()
    chosen = call("run", "--models", "bm25,tfidf", *asked, "--metrics", "f1@3,nDCG@3")
    assert "Ranked by F1@3" in chosen


def test_a_section(tmp_path, call):
    install(tmp_path, SECTION, SECTION_ENTRY)
    asked = ["--models", "bm25,tfidf", "--tasks", "rag-mini", "--no-store", "--out", "run", "--report"]
    assert "The slowest cells" in call("run", *asked)
    for file in ("leaderboard.md", "leaderboard.tex", "report.html"):
        assert "The slowest cells" in (tmp_path / "run" / file).read_text(), file


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples", "tasks", "reports"]
)
def test_links_between_files_lead_somewhere(name):
    files = [ROOT / name] if name.endswith(".md") else sorted((ROOT / name).rglob("*.md"))
    for file in files:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.relative_to(ROOT)}: {target}"
