"""Peaks are of what comes after the start, whatever was there before."""

import os
import subprocess
import sys

import numpy as np
import pytest

from evalkit.compute import Compute
from evalkit.runner.measure._memory import peak_megabytes

PROGRAM = """
import numpy as np
from evalkit.compute import Compute
from evalkit.runner.measure._memory import peak_megabytes, start_counting

np.ones(40_000_000).sum()  # 320 MB, and free again
before = start_counting()
print(peak_megabytes(Compute(), before))
for size in (20_000_000, 5_000_000):
    np.ones(size).sum()
    print(peak_megabytes(Compute(), before))
"""


@pytest.mark.slow
@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="a peak cannot be forgotten here")
def test_an_earlier_peak_hides_nothing():
    """In a process of its own: one that ran other tests gives memory back while this one counts."""
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, stdout=subprocess.PIPE, check=True,
    ).stdout.split()  # fmt: skip
    at_start, large, small = map(float, told)
    assert at_start < 20
    assert 150 < large < 180
    assert 150 < small < 180, "the largest counts"


def test_nothing_is_told_of_a_process_that_holds_other_models():
    assert np.isnan(peak_megabytes(Compute(), None))
