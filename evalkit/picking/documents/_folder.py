"""A folder's files as texts, and what could not be read."""

import hashlib
import json
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents._reading import UnreadableError, read_text
from evalkit.tasks.checks import DataWarning, told

if TYPE_CHECKING:
    from llama_index.core.readers.base import BaseReader


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read: its path within the folder, with slashes, its text, and what is doubtful about it."""

    name: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a folder (its name ends in a slash), that was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """The files of a folder in order of name, those skipped, and a SHA-256 (hex) over names and texts."""

    path: Path
    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    content_hash: str


def read_folder(path: Path, readers: "Mapping[str, BaseReader] | None" = None) -> Folder:
    """Read all files below a folder: txt, md, html, pdf, docx, and what LlamaIndex `readers`, by suffix, can read.

    Each file that is not read is in `skipped` with the reason; a file that is read, but with a doubt (a guessed
    encoding, pages without text, the text of another file), has a note, and a DataWarning lists the notes. Hidden
    files and symbolic links are skipped. Raises ConfigError if it is no folder or has no files, DataError with all
    reasons if none can be read, and OptionalDependencyError.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: not a folder. Give the folder that your documents are in.")
    files: list[SourceFile] = []
    skipped: list[Skipped] = []
    seen: dict[str, str] = {}
    for name, reason in _entries(path):
        if reason:
            skipped.append(Skipped(name, reason))
            continue
        try:
            text, note = read_text(path / name, readers or {})
        except UnreadableError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        first = seen.setdefault(text, name)
        files.append(SourceFile(name, text, note if first == name else f"the same text as {first}"))
    if not files and not skipped:
        raise ConfigError(f"{path}: an empty folder. Give the folder that your documents are in.")
    if not files:
        raise DataError(str(path), by_reason(skipped), "Nothing here can be read. Give a folder with documents.")
    noted = [Skipped(file.name, file.note) for file in files if file.note]
    if noted:
        listed = "\n".join(f"  - {line}" for line in by_reason(noted))
        warnings.warn(f"{path}: read, but with a doubt:\n{listed}", DataWarning, stacklevel=2)
    return Folder(path, tuple(files), tuple(skipped), _content_hash(files))


def with_texts(folder: Folder, texts: Mapping[str, str]) -> Folder:
    """Return the folder with other texts in its files, by name; files with nothing but blanks are left out."""
    files = tuple(replace(file, text=texts[file.name]) for file in folder.files if texts[file.name].strip())
    return replace(folder, files=files, content_hash=_content_hash(files))


def by_reason(skipped: Iterable[Skipped]) -> list[str]:
    """Return a line a reason, in order: "reason (2): a.png, b.png"."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for each in skipped:
        names[each.reason].append(each.name)
    return [told(reason, each) for reason, each in names.items()]


def _entries(top: Path) -> Iterator[tuple[str, str]]:
    """Yield names of files, in order, with the reason not to read them if there is one; hidden folders as one."""
    found: list[tuple[str, str]] = []
    unreadable: list[OSError] = []
    for root, folders, names in os.walk(top, onerror=unreadable.append):
        place = Path(root)
        for name in [*folders, *names]:
            path = place / name
            is_folder = name in folders and not path.is_symlink()
            reason = _why_not(path, is_folder)
            if reason or not is_folder:
                found.append((path.relative_to(top).as_posix() + "/" * is_folder, reason))
        folders[:] = [name for name in folders if not _why_not(place / name, True)]
    for error in unreadable:
        name = Path(error.filename).relative_to(top).as_posix() + "/"
        found.append((name, f"cannot be read: {error.strerror}"))
    # A name that is not UTF-8 can be shown, but not written as it is.
    yield from ((name.encode("utf-8", "backslashreplace").decode(), reason) for name, reason in sorted(found))


def _why_not(path: Path, is_folder: bool) -> str:
    if path.is_symlink():
        return "a symbolic link"
    if path.name.startswith("."):
        return "hidden"
    if not is_folder and not path.is_file():
        return "not a regular file"
    try:
        path.name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8. Rename it"
    return ""


def _content_hash(files: Sequence[SourceFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(json.dumps([file.name, file.text]).encode("ascii") + b"\n")
    return digest.hexdigest()
