"""A model that fails, hangs or runs out of memory, and folders that cannot be written: nothing else is lost."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from fakes import FakeEmbedder, FakeReranker, failures, retrieval_task, run

from evalkit.errors import ConfigError
from evalkit.models import lexical
from evalkit.results import Results
from evalkit.runner.grid import _grid as limited
from evalkit.runner.run import run as run_suite

PETS = retrieval_task({"d1": "cat", "d2": "dog"}, {"q1": "meow", "q2": "bark"})
VECTORS = {"cat": (3, 0), "dog": (0, 3), "meow": (1, 0.1), "bark": (0.1, 1)}
LATE = "it took longer than the time limit of 0.3 seconds."


def raising(error):
    def spoil(*_):
        raise error

    return spoil


class Panic(BaseException):
    """What a library in Rust raises when it panics."""


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("CUDA out of memory"), "RuntimeError: CUDA out of memory"),
        (Panic("index out of bounds"), "Panic: index out of bounds"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_whatever_a_model_raises_fails_its_cells_alone(error, reason):
    models = {"bad": FakeEmbedder(VECTORS, spoil=raising(error)), "good": FakeEmbedder(VECTORS)}
    rerankers = {"worse": FakeReranker(spoil=raising(error)), "fine": FakeReranker()}
    outcome = run([PETS], models, rerankers)
    assert failures(outcome) == {
        ("pets", "bad", "none"): reason,
        ("pets", "bad", "worse"): reason,
        ("pets", "bad", "fine"): reason,
        ("pets", "good", "worse"): reason,
    }
    assert {(cell.model, cell.reranker) for cell in outcome.rankings} == {("good", "none"), ("good", "fine")}


def stuck_in_python(*_):
    while True:
        time.sleep(0.001)


def stuck_below(event):
    """In a wait that nothing but the event ends."""
    return lambda *_: event.wait()


def test_what_hangs_is_ended_where_it_runs_python_and_left_behind_elsewhere(monkeypatch):
    monkeypatch.setattr(limited, "SECONDS_TO_END", 0.3)
    released = threading.Event()
    models = {
        "loops": FakeEmbedder(VECTORS, spoil=stuck_in_python),
        "waits": FakeEmbedder(VECTORS, spoil=stuck_below(released)),
        "good": FakeEmbedder(VECTORS),
    }
    before = threading.active_count()
    outcome = run([PETS], models, {"r": FakeReranker(spoil=stuck_in_python)}, time_limit=0.3)
    assert failures(outcome) == {
        ("pets", "loops", "none"): LATE,
        ("pets", "loops", "r"): LATE,
        ("pets", "waits", "none"): LATE,
        ("pets", "waits", "r"): LATE,
        ("pets", "good", "r"): LATE,
    }
    assert [cell.model for cell in outcome.rankings] == ["good"]
    assert threading.active_count() == before + 1, "all but the one that waits have ended"
    released.set()


def test_a_limit_changes_nothing_of_what_is_in_time():
    models, rerankers = {"good": FakeEmbedder(VECTORS)}, {"r": FakeReranker()}
    limited, free = (run([PETS], models, rerankers, time_limit=seconds) for seconds in (600, None))
    assert limited.rankings.keys() == free.rankings.keys()
    for cell, ranking in free.rankings.items():
        np.testing.assert_array_equal(limited.rankings[cell].scores, ranking.scores)


def test_ctrl_c_ends_work_that_has_a_limit(monkeypatch):
    class Stopped(threading.Thread):
        def join(self, timeout=None):
            if timeout == 60:
                raise KeyboardInterrupt
            super().join(timeout)

    monkeypatch.setattr(limited, "Thread", Stopped)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        limited.within(60, stuck_in_python)
    assert threading.active_count() == before


def test_the_command_line_says_what_hung_and_exits_with_1(evalkit, tmp_path, monkeypatch):
    monkeypatch.setattr(lexical.Tfidf, "encode", stuck_in_python)
    asked = ["run", "--models", "bm25,tfidf", "--tasks", "rag-mini", "--max-queries", "5", "--no-store"]
    status, _, errors = evalkit(*asked, "--time-limit", "2", "--out", tmp_path)
    assert (status, errors) == (1, "1 cell(s) failed; the reasons are in the last table.\n")
    found = Results.read(tmp_path)
    assert [(each["model"], each["reason"]) for each in found.failures] == [("tfidf", LATE.replace("0.3", "2"))]
    assert set(found.scores["model"]) == {"bm25"}


def few(folder, **more):
    return run_suite(
        models=["bm25"], tasks="rag-mini", max_queries=5, device="cpu", no_store=True, out=folder, **more
    )


def test_results_on_a_full_disk_leave_those_of_the_run_before(mounted):
    folder = mounted("size=600k")
    few(folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}
    (folder / "filler").write_bytes(b"x" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize - 8192))
    with pytest.raises(ConfigError, match=f"cannot be written to {folder}: .*{os.strerror(errno.ENOSPC)}"):
        few(folder, seed=1)
    (folder / "filler").unlink()
    assert {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()} == before
    assert Results.read(folder).provenance["seed"] == 0


def test_results_that_may_not_be_written(evalkit, mounted):
    folder = mounted("size=1m")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    asked = ["run", "--models", "bm25", "--tasks", "rag-mini", "--max-queries", "5", "--no-store"]
    status, _, errors = evalkit(*asked, "--out", folder / "out")
    assert status == 2
    assert errors.startswith(f"error: the results cannot be written to {folder / 'out'}: {os.strerror(errno.EROFS)}")


@pytest.mark.parametrize(("kept", "message"), [("out", "the results cannot be"), ("store", "the store at")])
def test_a_folder_that_one_has_no_permission_for(kept, message, tmp_path):
    folders = {"out": tmp_path / "results", "store": tmp_path / "vectors"}
    folders[kept] = tmp_path / "closed" / kept
    folders[kept].parent.mkdir(mode=0o500)
    command = [sys.executable, "-c", "from evalkit.cli import main; main()"]
    command += ["run", "--models", "bm25", "--tasks", "rag-mini", "--max-queries", "5"]
    command += ["--out", str(folders["out"]), "--store", str(folders["store"])]
    if os.access(folders[kept].parent, os.W_OK):  # root may write everywhere, unless that is taken from it
        without = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
        if shutil.which("setpriv") is None or subprocess.run([*without, "true"], check=False).returncode:
            pytest.skip("root may write everywhere, and that cannot be taken from it here")
        command = [*without, *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {message}")
    assert str(folders[kept]) in done.stderr
    assert os.strerror(errno.EACCES) in done.stderr
    assert "Traceback" not in done.stderr


def test_broken_off_while_files_are_moved_the_folder_reads_as_no_run(tmp_path, monkeypatch):
    few(tmp_path)
    replace, moved = type(tmp_path).replace, []

    def breaks_off(self, target):
        moved.append(target)
        if len(moved) == 3:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(type(tmp_path), "replace", breaks_off)
        with pytest.raises(KeyboardInterrupt):
            few(tmp_path, seed=1)
    with pytest.raises(ConfigError, match=r"holds no results of a run: run\.json is missing"):
        Results.read(tmp_path)
    few(tmp_path, seed=1)
    assert Results.read(tmp_path).provenance["seed"] == 1


def test_files_of_the_run_before_that_are_not_written_anew_are_gone(tmp_path):
    few(tmp_path)
    for name in ("measurements.csv", "truncated.csv", "published.csv", "report.html", "own.txt"):
        (tmp_path / name).write_text("old")
    few(tmp_path)
    assert {"own.txt", "run.json"} <= {file.name for file in tmp_path.iterdir()}
    assert not {"measurements.csv", "truncated.csv", "published.csv", "report.html"} & set(os.listdir(tmp_path))
    assert json.loads((tmp_path / "run.json").read_text())["failures"] == []
