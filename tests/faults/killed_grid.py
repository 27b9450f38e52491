"""A process that runs a grid again and again in children, and kills them: heavy modules are imported once for all.

It reads lines of JSON, and answers each with one: run this grid and kill it so long after this phase began.
"""

import json
import mmap
import os
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np

import evalkit
from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry import parse_spec
from evalkit.reporting import write as report_writing
from evalkit.reporting.html import write_report
from evalkit.reporting.html.page import _library as library
from evalkit.runner.run import run
from evalkit.store import _reuse as reuse
from evalkit.store.table import Table

PHASES = ("start", "encoding", "committing", "reranking", "writing", "reporting", "end")
phase = mmap.mmap(-1, 1)
"""The phase that the child is in, by number; shared with it."""


def in_phase(name, function):
    """The function, marking the phase while it runs."""

    def marked(*arguments, **more):
        before, phase[0] = phase[0], PHASES.index(name)
        try:
            return function(*arguments, **more)
        finally:
            phase[0] = before

    return marked


class Logged:
    """Notes in a file what is computed, a line a batch, before it is."""

    def __init__(self, log: Path, name: str) -> None:
        self.log, self.name = log, name

    def note(self, batch: list[str]) -> None:
        with self.log.open("a") as file:
            file.write(json.dumps([os.getpid(), self.name, batch]) + "\n")


class Hashes(DenseEmbedder):
    """Vectors made of hashes."""

    def __init__(self, log: Path, name: str) -> None:
        super().__init__(parse_spec("sbert:hashes").options, {"family": "hashes", "name": name})
        self.logged = Logged(log, name)

    def raw(self, texts, prompt, advance):
        self.logged.note(list(texts))
        time.sleep(0.02)
        digests = [sha256((self.logged.name + text).encode()).digest()[:16] for text in texts]
        return np.array([list(digest) for digest in digests], dtype=np.float32) - 128


class Pairs:
    """Scores made of hashes."""

    scores_alone = True

    def __init__(self, log: Path) -> None:
        self.logged, self.identity = Logged(log, "pairs"), {"family": "test", "name": "pairs"}

    def score(self, queries, documents, advance=None):
        pairs = [f"{query} {document}" for query, document in zip(queries, documents, strict=True)]
        self.logged.note(pairs)
        time.sleep(0.02)
        return np.array([sha256(pair.encode()).digest()[0] for pair in pairs], dtype=np.float64)


def grid(folder: Path, task: str) -> None:
    """Two embedders and a reranker, in batches that are committed one by one; results and report."""
    reuse.UNIT_CHARACTERS, reuse.SECONDS_PER_COMMIT = {"cpu": 60}, 0
    Hashes.raw, Pairs.score = in_phase("encoding", Hashes.raw), in_phase("reranking", Pairs.score)
    Table.append = in_phase("committing", Table.append)
    writing = in_phase("writing", report_writing.write_run)
    evalkit.runner.run.write_run = writing
    log, out = folder / "log", folder / "out"
    models = [(name, Hashes(log, name)) for name in ("one", "two")]
    keys = {"top_k": 2, "candidates": 5, "device": "cpu", "store": folder / "store", "out": out}
    results = run(models=models, tasks=task, rerankers=[("pairs", Pairs(log))], **keys)
    in_phase("reporting", write_report)({"run": results}, out / "report.html")


def child(folder: str, task: str) -> int:
    """Run the grid in a child; its process id."""
    phase[0] = 0
    pid = os.fork()
    if pid:
        return pid
    try:
        grid(Path(folder), task)
        os._exit(0)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        os._exit(1)


def killed(pid: int, wanted: str, after: float) -> None:
    """Wait until a child has been in a phase, or a later one, for some seconds, and kill it, unless it has ended."""
    since = None
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if since is None and phase[0] >= PHASES.index(wanted):
            since = time.perf_counter()
        if since is not None and time.perf_counter() - since >= after:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.0005)


def main() -> None:
    library()  # of the page's script: a second's work that is the same for all
    for line in sys.stdin:
        asked = json.loads(line)
        children = [child(asked["folder"], asked["task"]) for _ in range(asked.get("at_once", 1))]
        if "phase" in asked:
            killed(children[0], asked["phase"], asked["after"])
        ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        print(json.dumps({"ended": ended, "phase": PHASES[phase[0]], "pid": children[0]}), flush=True)


if __name__ == "__main__":
    main()
