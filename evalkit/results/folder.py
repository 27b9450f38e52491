"""Replace what a run left in a folder by what another one leaves: wholly, or so that it reads as no run."""

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evalkit.errors import ConfigError

UNFINISHED = ".unfinished"


@contextmanager
def replacing(folder: Path, last: str, stale: Iterable[str]) -> Iterator[Path]:
    """A new folder to write into; its files then replace those of `folder`.

    `last`, without which a folder holds no run, is removed before the first file is replaced, and comes back after
    all others: whenever the process is killed, the folder reads as the run before, as none, or as the new one. The
    files in `stale` go if they are not written anew. Processes that write into one folder take turns. Raises
    ConfigError if the folder cannot be written; what was there is then left as it was, unless it breaks off while
    files are moved.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            new = folder / UNFINISHED
            shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
            new.mkdir()
            try:
                yield new
                _move(new, folder, last, stale)
            finally:
                shutil.rmtree(new, ignore_errors=True)
    except OSError as error:
        raise ConfigError(
            f"the results cannot be written to {folder}: {error.strerror or error}. Free space there or allow "
            "writing, or choose another folder with --out; with a store, nothing is computed again."
        ) from error


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Hold a lock that the system gives up when the process ends, however it ends."""
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
