"""Where and in which dtype models compute, and what their files may do."""

import runpy
import sys
from dataclasses import dataclass, replace
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from evalkit.errors import DeviceError, OptionalDependencyError
from evalkit.terms import Device

DeviceChoice = Literal["auto", "cpu", "cuda", "mps"]
Dtype = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True)
class Compute:
    """A device that is there, the dtype for models whose spec does not set one, and what the user allows files to do.

    `trust_remote_code`: a model's repository may bring code, which is run. `allow_pickle`: weights may be pickled.
    """

    device: Device = "cpu"
    dtype: Dtype = "float32"
    trust_remote_code: bool = False
    allow_pickle: bool = False

    def with_dtype(self, dtype: Dtype | None) -> "Compute":
        """Return the same in this dtype, if there is one."""
        return self if dtype is None else replace(self, dtype=dtype)


STRICT = Compute()
"""Nothing allowed."""


def choose_compute(device: DeviceChoice = "auto", dtype: Dtype = "float32") -> Compute:
    """Settle `auto` (a GPU where there is one) and check that the device is there.

    Raises DeviceError if it is not, and OptionalDependencyError for one that needs torch where there is none.
    """
    installed = find_spec("torch")
    if device == "cpu" or (device == "auto" and (installed is None or _is_for_the_cpu(installed))):
        return Compute("cpu", dtype)
    if installed is None:
        raise OptionalDependencyError(f"the device {device!r}", "torch", "torch")
    import torch

    there: list[Device] = []
    if torch.cuda.is_available():
        there.append("cuda")
    if torch.backends.mps.is_available():
        there.append("mps")
    there.append("cpu")
    if device == "auto":
        return Compute(there[0], dtype)
    if device not in there:
        raise DeviceError(f"device {device!r} is not on this machine. Allowed here: auto, {', '.join(there)}.")
    return Compute(device, dtype)


def _is_for_the_cpu(torch: ModuleSpec) -> bool:
    """Tell whether this torch can find no GPU, wherever it runs: told without importing it, which takes seconds."""
    version = Path(torch.origin or "").with_name("version.py")
    if sys.platform == "darwin" or not version.is_file():
        return False
    built_for = runpy.run_path(str(version))
    return built_for.get("cuda", "") is None and built_for.get("hip", "") is None
