"""Many runs in one process keep memory flat. The process is its own: what tests before left behind is not counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

RUNS, WARM_UP = 500, 100
MAY_GROW = 1e6
"""Bytes, over 400 runs: 2.5 KB a run."""
PROGRAM = Path(__file__).with_name("soak.py")

pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc: memory cannot be read")


def test_500_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, str(RUNS), str(WARM_UP)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(PROGRAM.parents[1])])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = list(map(int, done.stdout.split()))
    assert len(sizes) == (RUNS - WARM_UP) // 50
    assert max(sizes[-2:]) - sizes[0] < MAY_GROW, [f"{size / 1e6:.1f} MB" for size in sizes]
