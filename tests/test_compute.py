"""The device that `auto` stands for."""

import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest

from evalkit import compute

RUNS = """
import sys
from evalkit.compute import choose_compute
print(choose_compute("auto").device, "torch" in sys.modules)
import torch
print(torch.cuda.is_available() or torch.backends.mps.is_available())
"""


@pytest.mark.parametrize(
    ("platform", "version", "is_for_the_cpu"),
    [
        ("linux", "cuda = None\nhip = None", True),
        ("win32", "cuda = None\nhip = None", True),
        ("linux", "cuda = '12.8'\nhip = None", False),
        ("linux", "cuda = None\nhip = '6.4'", False),
        ("linux", "", False),
        ("linux", None, False),
        ("darwin", "cuda = None\nhip = None", False),
    ],
    ids=["for the CPU", "on Windows", "for CUDA", "for ROCm", "says nothing", "no version", "on a Mac"],
)
def test_what_torch_was_built_for(platform, version, is_for_the_cpu, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    if version is not None:
        (tmp_path / "version.py").write_text(version)
    torch = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    assert compute._is_for_the_cpu(torch) == is_for_the_cpu


def test_auto_is_what_torch_finds_and_does_not_import_one_for_the_cpu():
    pytest.importorskip("torch")
    done = subprocess.run([sys.executable, "-c", RUNS], capture_output=True, text=True, check=True)
    device, imported, there = done.stdout.split()
    assert (device == "cpu") == (there == "False")
    if compute._is_for_the_cpu(compute.find_spec("torch")):
        assert imported == "False"
