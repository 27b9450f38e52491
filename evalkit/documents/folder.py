"""A folder's files as texts, and what could not be read."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from evalkit.errors import ConfigError

SUFFIXES = (".txt", ".md")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read: its path within the folder, with slashes, and its text."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """The files of a folder in order of name, those skipped, and a SHA-256 (hex) over names and texts."""

    path: Path
    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    content_hash: str


def read_folder(path: Path) -> Folder:
    """Read all files below a folder. Raises ConfigError if it is no folder, or none of its files can be read."""
    if not path.is_dir():
        raise ConfigError(f"{path}: not a folder. Give the folder that your documents are in.")
    files: list[SourceFile] = []
    skipped: list[Skipped] = []
    for file in sorted(each for each in path.rglob("*") if each.is_file()):
        name = file.relative_to(path).as_posix()
        if file.suffix.lower() not in SUFFIXES:
            skipped.append(Skipped(name, f"not one of {', '.join(SUFFIXES)}"))
            continue
        files.append(SourceFile(name, file.read_bytes().decode("utf-8")))
    if not files:
        raise ConfigError(f"{path}: no file in it could be read.")
    return Folder(path, tuple(files), tuple(skipped), content_hash(files))


def content_hash(files: list[SourceFile]) -> str:
    """SHA-256 (hex) over names and texts."""
    rows = "\n".join(json.dumps([file.name, file.text]) for file in files)
    return hashlib.sha256(rows.encode("ascii")).hexdigest()
