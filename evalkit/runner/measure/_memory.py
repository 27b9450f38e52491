"""The memory that a model takes at most in a process of its own."""

import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from evalkit.compute import Compute

_LINUX = Path("/proc/self")


def start_counting() -> float:
    """Return the resident memory from which a model's is counted, in megabytes (10^6 bytes); earlier peaks are
    forgotten.
    """
    with suppress(
        OSError
    ):  # elsewhere than on Linux, or not allowed: then an earlier peak hides as much of the model
        (_LINUX / "clear_refs").write_text("5")
    return _peak_resident()


def peak_megabytes(compute: Compute, before: float | None) -> float:
    """Tell what a model took at most: on CUDA of the device's memory, else of the resident beyond `before`.

    `before` is what `start_counting` gave in this process; with None the process is not the model's own, and the
    result NaN, as where the system does not tell.
    """
    if before is None:
        return np.nan
    if compute.device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    return _peak_resident() - before


def _peak_resident() -> float:
    # On Linux not ru_maxrss, which a process takes over from the one that started it.
    if (_LINUX / "status").is_file():
        lines = (_LINUX / "status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024 / 1e6
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return np.nan
