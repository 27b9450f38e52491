"""One model in a process of its own, so that its memory is nobody else's.

Libraries take many seconds to import. So one process imports what is needed, and no more, and each model is measured
in a fork of it (on Linux; elsewhere in a process that imports them itself).
"""

import atexit
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any, NoReturn, cast

from pydantic import TypeAdapter

from evalkit.compute import Compute
from evalkit.errors import EvalkitError
from evalkit.models.registry import ModelSpec, build, families
from evalkit.runner._provenance import package_versions
from evalkit.runner.context import RunContext
from evalkit.runner.measure._memory import start_counting
from evalkit.runner.measure._rounds import Limits
from evalkit.runner.measure._stages import Measured
from evalkit.runner.measure._timing import FirstWork, SecondWork
from evalkit.store import Store
from evalkit.store.keys import fingerprint


def kept_or_measured(
    folder: Path | None,
    work: FirstWork | SecondWork,
    model: Any,
    label: str,
    context: RunContext,
    limits: Limits,
    before: float | None,
) -> Measured:
    """Tell what `folder` keeps of the same work with the same model, else what `work.do` measures, which is kept
    there.

    Without a folder nothing is kept.
    """
    if folder is None:
        return work.do(model, label, context, limits, before)
    made_from = {
        "model": dict(model.identity),
        "work": work.identity,
        "limits": asdict(limits),
        "compute": asdict(context.compute),
        "packages": package_versions(),
    }
    file = folder / f"{fingerprint(made_from)}.json"
    if file.is_file():
        found = json.loads(file.read_text(encoding="utf-8"))
        stages: tuple[Any, ...] = tuple(map(TypeAdapter(work.stage).validate_python, found["stages"]))
        return Measured(found["peak_megabytes"], stages, found["complete"])
    measured = work.do(model, label, context, limits, before)
    folder.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(asdict(measured)), encoding="utf-8")
    new.replace(file)  # whole, or not at all
    return measured


JOB, RESULT, SAID = "job.pickle", "result.pickle", "said.txt"
COMMAND = "from evalkit.runner.measure._child import serve; serve()"


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
    """Tell what a fresh process measured, or the reason why it could not."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / JOB).write_bytes(pickle.dumps((job, os.getcwd(), dict(os.environ))))
        status, said = SERVER.perform(folder, families()[job.spec.family].libraries)
        if (folder / RESULT).is_file():
            result: Measured | str = pickle.loads((folder / RESULT).read_bytes())
            return result
    ended = f"ended by signal {-status}" if status < 0 else f"ended with status {status}"
    last = said.strip().rpartition("\n")[2]
    return f"the process that measured it {ended}; it may have run out of memory. {last}".strip()


class Server:
    """The process that imports libraries: started when it is first needed, and anew after it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it is open as long as there are processes
        atexit.register(self.stop)

    def perform(self, folder: Path, libraries: Sequence[str]) -> tuple[int, str]:
        """Have the job in a folder done: the exit status of its process, and what that wrote to standard error."""
        process = self._process = self._process or self._started()
        try:
            with suppress(BrokenPipeError):
                print(json.dumps([str(folder), *libraries]), file=process.stdin, flush=True)
            answer = cast(IO[str], process.stdout).readline()
        except BaseException:  # Ctrl-C: what comes now would be taken for the answer to the next job
            self.stop()
            raise
        if answer:
            return int(answer), (folder / SAID).read_text(encoding="utf-8", errors="replace")
        status = process.wait()
        self._process = None
        self._errors.seek(0)
        return status, self._errors.read().decode(errors="replace")

    def prepare(self, libraries: Sequence[str]) -> None:
        """Have libraries imported, and do not wait for it."""
        process = self._process = self._process or self._started()
        with suppress(BrokenPipeError):  # the next job tells why
            print(json.dumps(["", *libraries]), file=process.stdin, flush=True)

    def stop(self) -> None:
        """End the process and what it has started, if there is one."""
        if self._process is not None:
            if sys.platform == "win32":
                self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def _started(self) -> "subprocess.Popen[str]":
        self._errors.seek(0)
        self._errors.truncate()
        return subprocess.Popen(
            [sys.executable, "-c", COMMAND],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
            start_new_session=True,  # Ctrl-C is for this process, which then stops that one
        )  # fmt: skip


SERVER = Server()


def attempt(work: Callable[[], Measured]) -> Measured | str:
    """Tell what the work gives, or the reason why it could not be done: whatever a model raises is its own result."""
    try:
        return work()
    except Exception as error:
        return str(error) if isinstance(error, EvalkitError) else f"{type(error).__name__}: {error}"


def serve() -> None:
    """Have the job done that each line of the standard input names, a folder and libraries, and write its status.

    A line without a folder names libraries for jobs to come.
    Where a process cannot be forked once libraries are in it, this one does the job itself, and ends.
    """
    forks = sys.platform == "linux"
    for line in sys.stdin:
        name, *libraries = json.loads(line)
        for library in libraries:
            with suppress(ImportError):  # the job says it better
                import_module(library)
        if not name:
            continue
        if not forks:
            _work(Path(name))
            return
        child = os.fork()
        if child == 0:
            _work(Path(name))
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


def _work(folder: Path) -> NoReturn:
    """Do the job in a folder, leave its result there, and end the process."""
    status = 1
    try:
        with (folder / SAID).open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        job, place, environment = pickle.loads((folder / JOB).read_bytes())
        os.chdir(place)
        os.environ.clear()
        os.environ.update(environment)
        (folder / RESULT).write_bytes(pickle.dumps(attempt(lambda: _perform(job))))
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def _perform(job: Job) -> Measured:
    for library in families()[job.spec.family].libraries:
        import_module(library)
    before = start_counting()
    store = None if job.store is None else Store(job.store)
    context = RunContext(job.compute, store)
    model: Any = build(job.spec, job.compute)
    return kept_or_measured(job.kept, job.work, model, job.label, context, job.limits, before)
