"""CONTRIBUTING.md shows how to add a model, a task and a metric, each in under 30 lines: its blocks are run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.M | re.S)
MODEL, FAMILY, ENTRY_POINT, TASK, METRIC = (code for _, code in BLOCKS)


def run(folder, *command):
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(folder),
    }
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_is_short():
    assert [len(code.splitlines()) < 30 for _, code in BLOCKS] == [True] * 5


def test_a_model(tmp_path):
    rows = dict(re.findall(r"(bm25|letters) +(0\.\d+)", run(tmp_path, sys.executable, "-c", MODEL)))
    assert 0 < float(rows["letters"]) < float(rows["bm25"])


def test_a_family(tmp_path):
    """An installed package that adds it: its module, and the entry point of its metadata."""
    (tmp_path / "letters_family.py").write_text(FAMILY)
    installed = tmp_path / "letters-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: letters\nVersion: 1.0\n")
    group, line = re.search(r'entry-points\."(.*)"\]\n(.*)', ENTRY_POINT).groups()
    (installed / "entry_points.txt").write_text(f"[{group}]\n{line.replace(chr(34), '')}\n")
    assert "counts of letters" in run(tmp_path, "evalkit", "models", "letters")
    out = run(
        tmp_path, "evalkit", "run", "--models", "letters,letters?alphabet=etaoin", "--tasks", "sts-mini", "--no-store"
    )
    assert "letters?alphabet=etaoin" in out


def test_a_task(tmp_path):
    assert "stars" in run(tmp_path, "bash", "-euc", TASK)


def test_a_metric(tmp_path):
    values = {
        name: float(value)
        for name, value in re.findall(r"(\w+)@5 +(0\.\d+)", run(tmp_path, sys.executable, "-c", METRIC))
    }
    assert min(values["precision"], values["recall"]) < values["f1"] < max(values["precision"], values["recall"])


@pytest.mark.parametrize(
    "name", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples", "tasks", "reports"]
)
def test_links_between_files_lead_somewhere(name):
    files = [ROOT / name] if name.endswith(".md") else sorted((ROOT / name).rglob("*.md"))
    for file in files:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", file.read_text(encoding="utf-8")):
            assert (file.parent / target).exists(), f"{file.relative_to(ROOT)}: {target}"
