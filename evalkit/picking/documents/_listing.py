"""What is in a folder, and what of it is not to be read."""

import os
import stat
from pathlib import Path
from typing import NamedTuple

HIDDEN = "hidden"


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
