"""Replace what a run left in a folder by what another one leaves: wholly, or so that it reads as no run."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = ".unfinished"


@contextmanager
def replacing(folder: Path, last: str, stale: Iterable[str]) -> Iterator[Path]:
    """Give a new folder to write into; its files then replace those of `folder`.

    `last`, without which a folder holds no run, is removed before the first file is replaced, and comes back after
    all others: whenever the process is killed, the folder reads as the run before, as none, or as the new one. The
    files in `stale` go if they are not written anew. Raises OSError if the folder cannot be written; what was there
    is then left as it was, unless it breaks off while files are moved.
    """
    new = folder / UNFINISHED
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir()
    try:
        yield new
        _move(new, folder, last, stale)
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make the folder, and hold a lock on it, so that processes that write into one folder take turns.

    The system gives the lock up when the process ends, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _move(new: Path, folder: Path, last: str, stale: Iterable[str]) -> None:
    for name in (last, *stale):
        (folder / name).unlink(missing_ok=True)
    files = [file.relative_to(new) for file in sorted(new.rglob("*")) if file.is_file()]
    for file in sorted(files, key=lambda file: file == Path(last)):
        (folder / file.parent).mkdir(exist_ok=True)
        (new / file).replace(folder / file)
