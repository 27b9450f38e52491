"""The README's code blocks, run in order in one empty folder; what they ask of evalkit, in this process."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("readme")


@pytest.mark.parametrize(("language", "code"), BLOCKS, ids=[f"{n}-{b[0]}" for n, b in enumerate(BLOCKS)])
def test_code_block(language: str, code: str, folder: Path, evalkit, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    # A dry run asks nothing of the hub, and says of a model that is not here whether it could be downloaded.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", "--dry-run" not in code)

    def call(*arguments: str) -> None:
        status, out, errors = evalkit(*arguments)
        assert status == 0, out + errors

    if re.search("^make ", code, re.M):  # what runs this test cannot be run by it: hold the names to the Makefile
        for target in re.findall(r"^make (\w+)", code, re.M):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target
    elif language == "bash":
        before, *commands = re.split(r"^(?=evalkit )", code, flags=re.M)
        done = subprocess.run(["bash", "-euc", before], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        for command in commands:
            call(*shlex.split(command.replace("\\\n", " "))[1:])
    elif language == "python":
        exec(compile(code, "README.md", "exec"), {})
        printed = capsys.readouterr().out
        told = {"evalkit.integrations.llamaindex": "mirror", ".compare(": "cannot be told"}
        assert next((word for call, word in told.items() if call in code), "hit_rate@1") in printed
    elif language == "yaml":
        (folder / "suite.yaml").write_text(code)
        call("run", "suite.yaml")
        assert (folder / yaml.safe_load(code)["out"] / "leaderboard.md").is_file()
    else:
        pytest.fail(f"no rule to run a {language} block")


def test_demo_grid_is_the_committed_one() -> None:
    leaderboard = (ROOT / "reports/examples/demo/leaderboard.md").read_text(encoding="utf-8")
    grid = leaderboard[leaderboard.index("### Grid") :].split("\n\n")[1]
    assert grid in (ROOT / "README.md").read_text(encoding="utf-8")
