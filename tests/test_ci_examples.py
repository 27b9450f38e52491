"""The commands of examples/ci are run: a gate that passes and one that does not, and where its summary goes."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs

import pytest
import yaml

from evalkit import __version__
from evalkit.gating._baseline import Baseline

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "ci"


@pytest.fixture
def shell(tmp_path):
    """Runs a command as a job does, in a checkout of the example."""
    shutil.copytree(EXAMPLE, tmp_path / "checkout")

    def run(command, **variables):
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", command], cwd=tmp_path / "checkout",
            env={**os.environ, "PATH": path, **variables}, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    return run


def without_installing(commands):
    """The commands, but for the first, which installs the wheel of this version with an extra that there is."""
    first, *others = commands
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wheel, extra = re.fullmatch(r"pip install './wheels/(.+)\[(\w+)\]'", first).groups()
    assert wheel == f"{project['name'].replace('-', '_')}-{__version__}-py3-none-any.whl"
    assert extra in project["optional-dependencies"]
    return others


@pytest.mark.parametrize(
    "passes", [pytest.param(True, id="pass", marks=pytest.mark.slow), pytest.param(False, id="regression")]
)
def test_github(shell, tmp_path, passes):
    job = yaml.safe_load((EXAMPLE / "github.yml").read_text())["jobs"]["gate"]
    gate, summary = without_installing([step["run"] for step in job["steps"] if "run" in step])
    if not passes:
        policy = tmp_path / "checkout" / "policy.yaml"
        policy.write_text(policy.read_text().replace("hit_rate@5: 0.5", "hit_rate@5: 0.99"))
    done = shell(gate)
    assert done.returncode == (0 if passes else 1), done.stdout + done.stderr
    assert shell(summary, GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md")).returncode == 0
    assert (tmp_path / "summary.md").read_text().startswith(f"## Gate: {'pass' if passes else 'regression'}\n")
    (cache,) = [step["with"]["path"] for step in job["steps"] if step.get("uses", "").startswith("actions/cache@")]
    assert job["env"]["EVALKIT_STORE"].endswith(cache)


@pytest.mark.slow
def test_gitlab(shell, tmp_path):
    if shutil.which("curl") is None:
        pytest.skip("no curl, which the job posts its summary with")
    job = yaml.safe_load((EXAMPLE / "gitlab.yml").read_text())["embedding gate"]
    (gate,) = without_installing(job["script"])
    assert shell(gate).returncode == 0
    posted = {}

    class Notes(BaseHTTPRequestHandler):
        def do_POST(self):
            body = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            posted[self.path] = (self.headers["PRIVATE-TOKEN"], body["body"][0])
            self.send_response(201)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    server = HTTPServer(("127.0.0.1", 0), Notes)
    Thread(target=server.handle_request, daemon=True).start()
    (post,) = job["after_script"]
    done = shell(
        post, CI_API_V4_URL=f"http://127.0.0.1:{server.server_port}/api/v4", CI_PROJECT_ID="7",
        CI_MERGE_REQUEST_IID="42", GATE_TOKEN="secret", no_proxy="127.0.0.1",
    )  # fmt: skip
    server.server_close()
    assert done.returncode == 0, done.stderr
    ((path, (token, body)),) = posted.items()
    assert (path, token) == ("/api/v4/projects/7/merge_requests/42/notes", "secret")
    assert body == (tmp_path / "checkout" / "gate" / "gate.md").read_text()
    assert (tmp_path / "checkout" / job["artifacts"]["reports"]["junit"]).is_file()
    assert job["variables"]["EVALKIT_STORE"].endswith(job["cache"]["paths"][0])


def test_the_baseline_is_of_the_suite():
    suite = yaml.safe_load((EXAMPLE / "suite.yaml").read_text())
    baseline = Baseline.read(EXAMPLE / "baseline.json")
    assert list(dict.fromkeys(cell.model for task in baseline.tasks for cell in task.cells)) == suite["models"]
