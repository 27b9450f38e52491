"""The README's code blocks, run in order in one empty folder."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


def _run(folder: Path, *command: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[f"{n}-{b[0]}" for n, b in enumerate(BLOCKS)])
def test_code_block(language: str, code: str, folder: Path) -> None:
    if "make " in code:  # what runs this test cannot be run by it: hold the names to the Makefile
        for target in re.findall(r"^make (\w+)", code, re.M):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target
    elif language == "bash":
        _run(folder, "bash", "-euc", code)
    elif language == "python":
        printed = _run(folder, sys.executable, "-c", code)
        assert ("mirror" if "evalkit.llamaindex" in code else "hit_rate@1") in printed
    elif language == "yaml":
        (folder / "suite.yaml").write_text(code)
        _run(folder, "evalkit", "run", "suite.yaml")
        assert (folder / yaml.safe_load(code)["out"] / "leaderboard.md").is_file()
    else:
        pytest.fail(f"no rule to run a {language} block")


def test_demo_grid_is_the_committed_one() -> None:
    leaderboard = (ROOT / "reports/examples/demo/leaderboard.md").read_text(encoding="utf-8")
    grid = leaderboard[leaderboard.index("### Grid") :].split("\n\n")[1]
    assert grid in (ROOT / "README.md").read_text(encoding="utf-8")
