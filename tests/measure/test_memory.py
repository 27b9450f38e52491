"""Peaks are of what comes after the start, whatever was there before."""

import os

import numpy as np
import pytest

from evalkit.compute import Compute
from evalkit.measure.memory import peak_megabytes, start_counting


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="a peak cannot be forgotten here")
def test_an_earlier_peak_hides_nothing():
    np.ones(40_000_000).sum()  # 320 MB, and free again
    before = start_counting()
    assert peak_megabytes(Compute(), before) < 20
    np.ones(20_000_000).sum()
    assert 150 < peak_megabytes(Compute(), before) < 180
    np.ones(5_000_000).sum()
    assert 150 < peak_megabytes(Compute(), before) < 180, "the largest counts"


def test_nothing_is_told_of_a_process_that_holds_other_models():
    assert np.isnan(peak_megabytes(Compute(), None))
