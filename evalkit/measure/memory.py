"""Memory that a process takes at most, and the moment from which it counts."""

import sys
from pathlib import Path

import numpy as np

from evalkit.compute import Compute

_STATUS = Path("/proc/self/status")


def resident_megabytes() -> float:
    """The largest resident memory of this process so far, in megabytes (10^6 bytes); NaN where the system tells none.

    Linux: VmHWM. Not ru_maxrss, which a process takes over from the one that started it. macOS: ru_maxrss.
    """
    if _STATUS.is_file():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return np.nan


def peak_megabytes(compute: Compute, before: float | None) -> float:
    """What a model took at most in this process: on CUDA of the device's memory, else resident beyond `before`.

    NaN where `before` is None: the process is not the model's own.
    """
    if before is None:
        return np.nan
    if compute.device == "cuda":
        import torch

        return torch.cuda.max_memory_allocated() / 1e6
    return resident_megabytes() - before
