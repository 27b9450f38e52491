"""A folder that cannot be written and a full disk: one error, before or instead of results; --no-store goes on."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import lance
import pytest
from fakes import FakeEmbedder, failures, retrieval_task, run, write_tasks
from lance.dataset import DatasetOptimizer
from store_models import Counting, glove_file

from evalkit.errors import StoreError
from evalkit.store import Store, table

ADVICE = "Choose another with --store, or run with --no-store."
VECTORS = {"long text": (1, 0), "text": (0, 1), "x": (1, 1), "?": (1, 2)}
FULL = "Free space there or allow writing, choose another with --store, or run with --no-store."


def run_with_and_without(evalkit, tmp_path, root):
    """What the command line says with this store, once it has shown that it works without."""
    pets, _ = write_tasks(tmp_path)
    arguments = ["run", "--models", glove_file(tmp_path, 9_000), "--tasks", pets, "--device", "cpu"]
    arguments += ["--store", root, "--out", tmp_path / "out"]
    told = evalkit(*arguments)
    assert (tmp_path / "out").exists() == (told[0] == 1)
    status, shown, errors = evalkit(*arguments, "--no-store")
    assert (status, errors) == (0, "")
    assert "Store:" not in shown
    assert (tmp_path / "out" / "scores.csv").exists()
    return told


def test_a_store_below_a_file(evalkit, tmp_path):
    (tmp_path / "file").touch()
    root = tmp_path / "file" / "store"
    message = f"error: the store at {root} cannot be written: {os.strerror(errno.ENOTDIR)}. {ADVICE}\n"
    assert run_with_and_without(evalkit, tmp_path, root) == (2, "", message)
    for command in (["ls"], ["verify"], ["prune", "--older-than", "1d"]):
        told = f"error: there is no store at {root}. Check --store; a run makes one there.\n"
        assert evalkit("store", *command, "--store", root) == (2, "", told)


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
def test_a_store_where_no_folder_can_be_made():
    message = f"the store at /proc/store cannot be written: {os.strerror(errno.ENOENT)}. {ADVICE}"
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        Store(Path("/proc/store"))


def test_a_read_only_file_system(evalkit, tmp_path, mounted):
    root = mounted("ro,size=1m") / "store"
    message = f"error: the store at {root} cannot be written: {os.strerror(errno.EROFS)}. {ADVICE}\n"
    assert run_with_and_without(evalkit, tmp_path, root) == (2, "", message)


def test_a_store_on_a_file_system_that_has_become_read_only(mounted):
    folder = mounted("size=1m")
    Store(folder / "store")
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    message = f"the store at {folder / 'store'} cannot be written: {os.strerror(errno.EROFS)}. {ADVICE}"
    with pytest.raises(StoreError, match=f"^{re.escape(message)}$"):
        Store(folder / "store")


def test_a_full_disk(evalkit, tmp_path, mounted, monkeypatch):
    monkeypatch.setenv("COLUMNS", "2000")
    root = mounted("size=100k") / "store"  # the vectors of the documents alone are 108 kB
    status, shown, _ = run_with_and_without(evalkit, tmp_path, root)
    assert status == 1
    start = f"cannot write to the store at {root / 'v1'}: "
    assert re.search(f"{re.escape(start)}.*{os.strerror(errno.ENOSPC)}.*\\. {FULL}", shown)


def test_a_disk_that_is_full_is_told_before_anything_is_computed(mounted):
    folder = mounted("size=64k")
    store = Store(folder / "store")
    (folder / "filler").write_bytes(b"x" * (os.statvfs(folder).f_bavail * os.statvfs(folder).f_bsize))
    with pytest.raises(StoreError, match=f"cannot be written: {os.strerror(errno.ENOSPC)}"):
        store.check_writable()


@pytest.mark.usefixtures("one_text_a_commit")
def test_a_disk_that_fills_midway_keeps_what_was_committed(store, monkeypatch):
    task = retrieval_task({"1": "long text", "2": "text", "3": "x"}, {"q1": "?"})
    write, writes = lance.write_dataset, []

    def full_at_the_second_append(*arguments, mode="create", **more):
        writes.append(mode)
        if writes.count("append") > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(*arguments, mode=mode, **more)

    model, other = Counting(), FakeEmbedder(VECTORS)
    other.not_stored = True
    with monkeypatch.context() as patched:
        patched.setattr(lance, "write_dataset", full_at_the_second_append)
        message = f"cannot write to the store at {store.root / 'v1'}: [Errno 28] No space left on device. {FULL}"
        outcome = run([task], {"m": model, "other": other}, store=store)
    assert failures(outcome) == {("pets", "m", "none"): message}
    assert [cell.model for cell in outcome.rankings] == ["other"], "it needs no store"
    assert model.read == ["long text", "text"]
    run([task], {"m": model}, store=store)
    assert model.read == ["long text", "text", "text", "x", "?"]


@pytest.mark.usefixtures("one_text_a_commit")
def test_a_disk_too_full_to_compact_does_not_stop_a_run(store, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(table, "FRAGMENTS_BEFORE_COMPACTION", 1)
    monkeypatch.setattr(DatasetOptimizer, "compact_files", full)
    task = retrieval_task({"1": "long text", "2": "text", "3": "x"}, {"q1": "?"})
    assert run([task], {"m": Counting()}, store=store).failures == []
