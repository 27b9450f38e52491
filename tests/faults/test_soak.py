"""Many runs in one process keep memory flat. The process is its own: what tests before left behind is not counted."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest

RUNS, WARM_UP = 300, 100
BETWEEN_READINGS = 50
MAY_GROW = 2_500
"""Bytes a run. A leak grows at each reading; an allocator takes a megabyte now and then, and keeps to it."""
PROGRAM = Path(__file__).with_name("soak.py")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc: memory cannot be read"),
]


def test_300_runs(tmp_path):
    done = subprocess.run(
        [sys.executable, PROGRAM, tmp_path, str(RUNS), str(WARM_UP)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(PROGRAM.parents[1])])},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    sizes = list(map(int, done.stdout.split()))
    assert len(sizes) == (RUNS - WARM_UP) // BETWEEN_READINGS
    usual = median(after - before for before, after in pairwise(sizes)) / BETWEEN_READINGS
    assert usual < MAY_GROW, [f"{size / 1e6:.1f} MB" for size in sizes]
