"""What is in a folder, what of it is not to be read, and how much of it was."""

import os
import stat
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import NamedTuple

HIDDEN = "hidden"
ENOUGH = 0.8
"""The share of files, and of bytes, below which a recommendation says first what it was made from."""
_KINDS_TOLD = 3


class Entry(NamedTuple):
    """A file in a folder, or a folder that is not entered (its name ends in a slash).

    `reason` says why it is not to be read ("": it is); `size` is in bytes, None of what is no regular file.
    """

    name: str
    reason: str
    size: int | None


def entries(top: Path) -> list[Entry]:
    """Return all files, in order of name, with the reason not to read them if there is one; hidden folders as one."""
    found: list[Entry] = []
    unreadable: list[OSError] = []
    for root, folders, names in os.walk(top, onerror=unreadable.append):
        place = Path(root)
        for name in [*folders, *names]:
            path = place / name
            is_folder = name in folders and not path.is_symlink()
            reason = _why_not(path, is_folder)
            if reason or not is_folder:
                found.append(Entry(_shown(path.relative_to(top)) + "/" * is_folder, reason, _size(path)))
        folders[:] = [name for name in folders if not _why_not(place / name, True)]
    for error in unreadable:
        name = _shown(Path(error.filename).relative_to(top)) + "/"
        found.append(Entry(name, f"cannot be read: {error.strerror}", None))
    return sorted(found, key=lambda each: each.name)


def _shown(path: Path) -> str:
    # A name that is not UTF-8 can be shown, but not written as it is.
    return path.as_posix().encode("utf-8", "backslashreplace").decode()


def _size(path: Path) -> int | None:
    """Return the bytes of a regular file; None for anything else."""
    found = path.lstat()
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def _why_not(path: Path, is_folder: bool) -> str:
    if path.is_symlink():
        return "a symbolic link"
    if path.name.startswith("."):
        return HIDDEN
    if not is_folder and not path.is_file():
        return "not a regular file"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8. Rename it"
    return ""


@dataclass(frozen=True, slots=True)
class Coverage:
    """The files and bytes that were read, of those that are there, and how many were not, by suffix.

    There is every file, of whatever kind, but hidden and empty ones; a symbolic link, and a folder that cannot be
    opened, is one that was not read.
    """

    files: int = 0
    files_there: int = 0
    bytes: int = 0
    bytes_there: int = 0
    unread: Mapping[str, int] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """The smaller of the two shares that were read, of the files and of the bytes; 1 if nothing is there."""
        shares = ((self.files, self.files_there), (self.bytes, self.bytes_there))
        return min(read / there if there else 1.0 for read, there in shares)

    @property
    def warning(self) -> str:
        """What a reader of a recommendation has to know first, without a full stop; "" if enough was read."""
        if self.share >= ENOUGH:
            return ""
        percent = int(100 * self.bytes / self.bytes_there) if self.bytes_there else 100
        share = f"{percent} %" if percent else "less than 1 %"
        kinds = sorted(self.unread.items(), key=lambda each: -each[1])
        told = [f"{count} {suffix or 'without suffix'}" for suffix, count in kinds[:_KINDS_TOLD]]
        if others := sum(count for _, count in kinds[_KINDS_TOLD:]):
            told.append(f"{others} other{'s' if others > 1 else ''}")
        were = "was" if self.files == 1 else "were"
        return (
            f"Only {self.files} of {self.files_there} files ({share} of the bytes) {were} read: not {', '.join(told)}"
        )


def coverage_of(entries: Sequence[Entry], read: Container[str]) -> Coverage:
    """Return how much of a folder's entries was read, by the names of those that were."""
    there = {each.name: each.size or 0 for each in entries if each.reason != HIDDEN and each.size != 0}
    sizes = [size for name, size in there.items() if name in read]
    unread = Counter(PurePath(name).suffix.lower() for name in there if name not in read)
    return Coverage(len(sizes), len(there), sum(sizes), sum(there.values()), dict(unread))
