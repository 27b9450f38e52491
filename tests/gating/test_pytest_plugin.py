"""The pytest plugin, in a pytest of its own: a gate as tests, marked tests, and several workers."""

import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import yaml

import evalkit as package
from evalkit.gating.gate import make_baseline

UNASKED = ("cacheprovider", "hypothesispytest", "langsmith_plugin")
"""Plugins that other packages bring, and that take seconds to import."""
OTHER = "bm25?k1=0.4"
"""A second model that needs nothing more to be imported."""
SUITE = {"models": f"bm25,{OTHER}", "tasks": "rag-mini", "max_queries": 60, "device": "cpu"}
TEAM = """
import pytest

@pytest.mark.evalkit(task="rag-mini", model="bm25", min=0.3, max_queries=60)
def test_search(evalkit_scores):
    assert evalkit_scores["hit_rate@5"] >= evalkit_scores["MRR@5"] > 0.3

@pytest.mark.evalkit(task="rag-mini", model="tfidf", reranker="bm25", min=0.99, metric="hit_rate@5", max_queries=60)
def test_too_high():
    raise RuntimeError("the score is looked at first")
"""
LOGGED = """
import os
from pathlib import Path
import evalkit.models.registry.reference as chosen
from evalkit.models.static import Static

build, raw, log = chosen.build, Static.raw, Path(__file__).parent

def logged_build(spec, compute):
    with (log / "built.log").open("a") as file:
        print(os.getpid(), spec, file=file)
    return build(spec, compute)

def logged_raw(self, texts, prompt, advance):
    with (log / "encoded.log").open("a") as file:
        print(*(repr(text) for text in texts), sep="\\n", file=file)
    return raw(self, texts, prompt, advance)

chosen.build, Static.raw = logged_build, logged_raw
"""


@pytest.fixture
def run_pytest(tmp_path):
    def run(*arguments, code=TEAM):
        (tmp_path / "test_team.py").write_text(code)
        environment = {**os.environ, "EVALKIT_STORE": str(tmp_path / "store"), "PYTEST_ADDOPTS": ""}
        environment.pop("PYTEST_XDIST_WORKER", None)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-rA", *(f"-pno:{name}" for name in UNASKED), *arguments],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def results():
    return package.run(**SUITE)


@pytest.fixture
def gate_options(results, tmp_path):
    """Options of a suite and its baseline, of which the other model's hits may have been better than they are."""

    def options(*, was_better):
        records = results.records.copy()
        if was_better:
            records.loc[(records["model"] == OTHER) & (records["metric"] == "nDCG@5"), "value"] = 1.0
        make_baseline(replace(results, records=records)).write(tmp_path / "baseline.json")
        (tmp_path / "suite.yaml").write_text(yaml.safe_dump(SUITE))
        return "--evalkit-suite", "suite.yaml", "--evalkit-baseline", "baseline.json"

    return options


def outcomes(text):
    """By test, how it went."""
    return dict(reversed(pair) for pair in re.findall(r"^(PASSED|FAILED|ERROR) (.+?)(?: - .*)?$", text, re.MULTILINE))


GATE = ("evalkit::rag-mini (test), bm25, none", f"evalkit::rag-mini (test), {OTHER}, none", "evalkit::the run")


def test_marked_tests_and_a_gate_that_passes(run_pytest, gate_options):
    status, text = run_pytest(*gate_options(was_better=False))
    marked = {"test_team.py::test_search": "PASSED", "test_team.py::test_too_high": "FAILED"}
    assert outcomes(text) == marked | dict.fromkeys(GATE, "PASSED"), text
    assert status == 1
    told = r"evalkit: tfidf, bm25, rag-mini: hit_rate@5 is 0\.\d{4} \(95 % interval .*\), and must be at least 0.99"
    assert re.search(told, text)
    assert "the score is looked at first" not in text


@pytest.mark.slow
def test_a_gate_that_fails_tells_why_with_any_number_of_workers(run_pytest, gate_options):
    options = gate_options(was_better=True)
    found = []
    for workers in ((), ("-n", "2")):
        status, text = run_pytest(*options, *workers, "-k", "gate")
        assert status == 1
        found.append((outcomes(text), re.findall(r"FAIL: .*", text)[0]))
        assert "    then: " in text
        assert "Traceback" not in text
    assert found[0][0] == dict.fromkeys(GATE, "PASSED") | {GATE[1]: "FAILED"}
    assert found[0][1].startswith(f"FAIL: {OTHER} on rag-mini (test): nDCG@5: worse by more than the margin of 0.01")
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_model_is_built_once_a_worker_and_the_store_is_shared(run_pytest, tmp_path, data_dir):
    (tmp_path / "conftest.py").write_text(LOGGED)
    model = f"static:{data_dir / 'potion-base-4m-int8'}"
    marks = [("rag-mini", "none"), ("sts-mini", "none"), ("rag-mini", "bm25"), ("rag-mini", "none")]
    code = "import pytest\n" + "".join(
        f"@pytest.mark.evalkit(task={task!r}, model={model!r}, reranker={reranker!r}, min=0.1)\n"
        f"def test_{number}(evalkit_scores):\n    assert evalkit_scores\n"
        for number, (task, reranker) in enumerate(marks)
    )
    status, text = run_pytest("-n", "2", code=code)
    assert (status, set(outcomes(text).values())) == (0, {"PASSED"}), text
    built = Counter((tmp_path / "built.log").read_text().splitlines())
    assert len({line.split()[0] for line in built}) == 2, "both workers had a test"
    assert set(built.values()) == {1}
    encoded = Counter((tmp_path / "encoded.log").read_text().splitlines())
    assert len(encoded) > 360
    assert set(encoded.values()) == {1}


@pytest.mark.slow
def test_a_gate_loads_a_model_once_a_worker(run_pytest, tmp_path, data_dir):
    (tmp_path / "conftest.py").write_text(LOGGED)
    suite = {**SUITE, "models": [f"static:{data_dir / 'potion-base-4m-int8'}"]}
    make_baseline(package.run(**suite)).write(tmp_path / "baseline.json")
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(suite))
    options = ("--evalkit-suite", "suite.yaml", "--evalkit-baseline", "baseline.json")
    status, text = run_pytest(*options, "-n", "2", code="")
    assert (status, set(outcomes(text).values())) == (0, {"PASSED"}), text
    assert set(Counter((tmp_path / "built.log").read_text().splitlines()).values()) == {1}


WRONG = {
    '@pytest.mark.evalkit(task="rag-mini", model="bm26", min=0.1)': "Did you mean 'bm25'",
    '@pytest.mark.evalkit(task="rag-mini", min=0.1)': "the marker needs task=... and model=...",
    '@pytest.mark.evalkit(task="rag-mini", model="bm25", top=3, min=0.1)': "unknown key 'top'",
    '@pytest.mark.evalkit(task="rag-mini", model="bm25", metric="hits", min=0.1)': "there is no 'hits'",
    '@pytest.mark.evalkit(task="rag-mini", model="tfidf?ngrams=1|2", min=0.1)': "stands for 2 models",
    "": "evalkit_scores needs @pytest.mark.evalkit",
}


def test_what_cannot_be_marked(run_pytest):
    tests = [f"{marker}\ndef test_{number}(evalkit_scores):\n    pass\n" for number, marker in enumerate(WRONG)]
    _, text = run_pytest(code="\n".join(["import pytest", *tests]))
    for number, told in enumerate(WRONG.values()):
        part = re.split(rf"_ test_{number} _|_ ERROR at setup of test_{number} _", text)
        assert len(part) == 2, text
        assert told in part[1].split("\n____")[0]


def test_options_that_do_not_fit(run_pytest):
    status, text = run_pytest("--evalkit-suite", "suite.yaml")
    assert (status, "give both" in text) == (4, True), text
    status, text = run_pytest("--evalkit-suite", "suite.yaml", "--evalkit-baseline", "none.json")
    assert (status, "cannot read the baseline none.json" in text) == (4, True)
