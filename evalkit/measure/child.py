"""One model in a process of its own, so that its memory is nobody else's."""

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from evalkit.compute import Compute
from evalkit.errors import EvalkitError
from evalkit.grid import Means
from evalkit.measure.kept import kept_or_measured
from evalkit.measure.memory import start_counting
from evalkit.measure.work import FirstWork, Limits, Measured, SecondWork
from evalkit.progress import Progress
from evalkit.registry import ModelSpec, build, families
from evalkit.store import Store

JOB, RESULT = "job.pickle", "result.pickle"
COMMAND = "import sys; from evalkit.measure.child import main; main(sys.argv[1])"
_TORCH = {"transformers", "sentence_transformers"}


@dataclass(frozen=True)
class Job:
    """A model to build and what is to be measured of it; `kept` is the folder of `kept_or_measured`."""

    spec: ModelSpec
    label: str
    work: FirstWork | SecondWork
    compute: Compute
    store: str | None
    limits: Limits
    kept: Path | None


def in_child(job: Job) -> Measured | str:
    """What a fresh process measured, or the reason why it could not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / JOB).write_bytes(pickle.dumps(job))
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, name],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True, text=True, errors="replace", check=False,
        )  # fmt: skip
        if (folder / RESULT).is_file():
            result: Measured | str = pickle.loads((folder / RESULT).read_bytes())
            return result
    said = done.stderr.strip().rpartition("\n")[2]
    ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"ended with status {done.returncode}"
    return f"the process that measured it {ended}; it may have run out of memory. {said}".strip()


def attempt(work: Callable[[], Measured]) -> Measured | str:
    """What the work gives, or the reason why it could not be done: whatever a model raises is its own result."""
    try:
        return work()
    except Exception as error:
        return str(error) if isinstance(error, EvalkitError) else f"{type(error).__name__}: {error}"


def _perform(job: Job) -> Measured:
    _import_libraries(job.spec)
    before = start_counting()
    store = None if job.store is None else Store(job.store)
    means = Means(job.compute, store, Progress())
    model: Any = build(job.spec, job.compute)
    return kept_or_measured(job.kept, job.work, model, job.label, means, job.limits, before)


def _import_libraries(spec: ModelSpec) -> None:
    """Bring in what the family needs, so that it is not counted as the model's."""
    for module in (families()[spec.family].module or "").split():
        import_module(module)
        if module in _TORCH:
            import_module("torch")


def main(name: str) -> None:
    """What the child does: the job in a folder, whose result it leaves there."""
    folder = Path(name)
    job = pickle.loads((folder / JOB).read_bytes())
    (folder / RESULT).write_bytes(pickle.dumps(attempt(lambda: _perform(job))))
