"""A Ray cluster over two network namespaces: two hosts with an address each, and one file system."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="ray is not installed")
pytestmark = pytest.mark.slow

HEAD, OTHER = "10.203.77.1", "10.203.77.2"
STORE_TESTS = Path(__file__).parents[1] / "store"
DRIVER = """
import json, sys
from pathlib import Path
import numpy as np
from evalkit.compute import Compute
from evalkit.engine import LOCAL, open_engine
from evalkit.progress import Progress
from evalkit.search import shards
from evalkit.store import Store, _reuse as reuse
from fakes import retrieval_task, run
from ray_models import Located

reuse.UNIT_CHARACTERS, shards.SHARD_DOCUMENTS = {"cpu": 200}, 10
task = retrieval_task({str(row): "x" * (row % 11) + f" {row}" for row in range(300)}, {"q1": "why?", "q2": "xx 3"})

def grid(engine, folder):
    model = Located(f"{folder}-addresses")
    return run([task], {"m": model}, candidates=40, depth=40, store=Store(Path(folder)), engine=engine)

with open_engine("ray", Compute()) as engine:
    spread, workers = grid(engine, sys.argv[1] + "/ray"), engine.workers
local = grid(LOCAL, sys.argv[1] + "/local")
(ours,), (theirs,) = local.rankings.values(), spread.rankings.values()
same = np.array_equal(ours.documents, theirs.documents) and np.array_equal(ours.scores, theirs.scores)
print(json.dumps({"workers": workers, "same": same}))
"""


def sh(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def hosts():
    """Two network namespaces that reach each other and nothing else; what runs in them ends with the test."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    names = [f"evalkit{os.getpid()}{letter}" for letter in "ab"]
    if sh("ip", "netns", "add", names[0]).returncode:
        pytest.skip("network namespaces are not allowed here")
    try:
        sh("ip", "netns", "add", names[1])
        ends = [f"ek{os.getpid() % 100_000}{letter}" for letter in "ab"]
        sh("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, address in zip(names, ends, (HEAD, OTHER), strict=True):
            sh("ip", "link", "set", end, "netns", name)
            sh("ip", "-n", name, "addr", "add", f"{address}/24", "dev", end)
            sh("ip", "-n", name, "link", "set", "lo", "up")
            sh("ip", "-n", name, "link", "set", end, "up")
        yield names
    finally:
        for name in names:
            for process in sh("ip", "netns", "pids", name).stdout.split():
                sh("kill", "-9", process)
            sh("ip", "netns", "del", name)


def test_two_hosts_share_the_work_and_give_what_one_process_gives(hosts, tmp_path):
    here = [str(Path(__file__).parent), str(STORE_TESTS), str(STORE_TESTS.parent), str(STORE_TESTS.parents[1])]
    environment = {
        **os.environ, "PYTHONPATH": os.pathsep.join(here), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1",
        "RAY_AUTH_MODE": "disabled",
    }  # fmt: skip

    def inside(host, *command):
        done = subprocess.run(
            ["ip", "netns", "exec", host, *command], env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--object-store-memory=80000000",
           "--disable-usage-stats"]  # fmt: skip
    # A short path: sockets in it may have no more than a hundred characters.
    folder = ["--temp-dir", f"/tmp/ek{os.getpid()}"]
    try:
        inside(
            hosts[0], *ray, "--head", f"--node-ip-address={HEAD}", "--port=6399", "--include-dashboard=false", *folder
        )
        inside(hosts[1], *ray, f"--address={HEAD}:6399", f"--node-ip-address={OTHER}")
        environment["RAY_ADDRESS"] = f"{HEAD}:6399"
        told = json.loads(inside(hosts[0], sys.executable, "-c", DRIVER, str(tmp_path)).splitlines()[-1])
    finally:
        shutil.rmtree(folder[1], ignore_errors=True)
    assert told == {"workers": 2, "same": True}
    assert {file.name for file in (tmp_path / "ray-addresses").iterdir()} == {HEAD, OTHER}, "both hosts took part"
