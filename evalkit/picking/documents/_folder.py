"""A folder's files as texts, and what could not be read."""

import hashlib
import json
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import ConfigError, DataError, did_you_mean
from evalkit.picking.documents._listing import Coverage, Entry, coverage_of, entries
from evalkit.picking.documents._reading import fits, read_text
from evalkit.picking.documents._records import within
from evalkit.picking.documents._text import Heading, UnreadableError
from evalkit.tasks.checks import DataWarning, told

if TYPE_CHECKING:
    from llama_index.core.readers.base import BaseReader


_NAMES_TOLD = 8


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file that was read: its path within the folder, with slashes, its text, and what is doubtful about it.

    `headings` are those of the text, in order. Of a table, `fields` were read, and the others `left_out`. `sha256`
    (hex) is that of the file's bytes; empty for a text that is no file's.
    """

    name: str
    text: str
    note: str = ""
    headings: tuple[Heading, ...] = ()
    fields: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a folder (its name ends in a slash), that was not read, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Folder:
    """The files of a folder in order of name, those skipped, a SHA-256 (hex) over names and texts, and how much of it
    was read.

    `include` and `fields` are what was asked for (see `read_folder`).
    """

    path: Path
    files: tuple[SourceFile, ...]
    skipped: tuple[Skipped, ...]
    content_hash: str
    coverage: Coverage = field(default_factory=Coverage)
    include: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Return what was read and what was not, as plain data; a table with the fields that were read of it."""
        return {
            "files": len(self.files),
            "skipped": [asdict(each) for each in self.skipped],
            "coverage": asdict(self.coverage),
            "include": list(self.include),
            "fields": list(self.fields),
            "tables": [
                {"name": each.name, "read": list(each.fields), "left_out": list(each.left_out)}
                for each in self.files
                if each.fields
            ],
            "content_hash": self.content_hash,
        }


def read_folder(
    path: Path,
    readers: "Mapping[str, BaseReader] | None" = None,
    *,
    include: str | Sequence[str] = (),
    fields: str | Sequence[str] = (),
) -> Folder:
    """Read all files below a folder: those of `FORMATS`, and what LlamaIndex `readers`, by suffix, can read.

    Files that a pattern of `include` fits, such as "*.log", are read as plain text, whatever their suffix. Of tables
    (CSV, JSON, spreadsheets) the `fields` are read, or else all that have a letter in a value. Both may be one string
    with commas.

    Each file that is not read is in `skipped` with the reason; a file that is read, but with a doubt (a guessed
    encoding, pages without text, the text of another file), has a note, and a DataWarning lists the notes. Hidden
    files and symbolic links are skipped. Raises ConfigError if it is no folder, has no files, or has nothing of what
    is asked for, and DataError with all reasons if none can be read.
    """
    if not path.is_dir():
        raise ConfigError(f"{path}: not a folder. Give the folder that your documents are in.")
    include, fields = _listed(include), _listed(fields)
    files: list[SourceFile] = []
    skipped: list[Skipped] = []
    seen: dict[str, str] = {}
    found = entries(path)
    _check_include(include, found, path)
    for name, reason in ((each.name, each.reason) for each in found):
        if reason:
            skipped.append(Skipped(name, reason))
            continue
        try:
            text = read_text(path / name, name, include=include, fields=fields, readers=readers)
        except UnreadableError as error:
            skipped.append(Skipped(name, str(error)))
            continue
        first = seen.setdefault(text.content, name)
        note = text.note if first == name else f"the same text as {first}"
        digest = hashlib.sha256((path / name).read_bytes()).hexdigest()
        files.append(SourceFile(name, text.content, note, text.headings, text.fields, text.left_out, digest))
    if not files and not skipped:
        raise ConfigError(f"{path}: an empty folder. Give the folder that your documents are in.")
    if not files:
        raise DataError(str(path), by_reason(skipped), "Nothing here can be read. Give a folder with documents.")
    _check_fields(fields, files, skipped, path)
    noted = [Skipped(file.name, file.note) for file in files if file.note]
    if noted:
        listed = "\n".join(f"  - {line}" for line in by_reason(noted))
        warnings.warn(f"{path}: read, but with a doubt:\n{listed}", DataWarning, stacklevel=2)
    coverage = coverage_of(found, {file.name for file in files})
    return Folder(path, tuple(files), tuple(skipped), _content_hash(files), coverage, include, fields)


def with_texts(folder: Folder, texts: Mapping[str, str]) -> Folder:
    """Return the folder with other texts in its files, by name; files with nothing but blanks are left out.

    Where the headings are in these texts is not known.
    """
    files = tuple(
        replace(file, text=texts[file.name], headings=()) for file in folder.files if texts[file.name].strip()
    )
    return replace(folder, files=files, content_hash=_content_hash(files))


def told_tables(facts: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each set of fields that was read of tables, by a folder's `facts`; no full stops."""
    files: defaultdict[str, list[str]] = defaultdict(list)
    for table in facts.get("tables", ()):
        left_out = f", not {_some(table['left_out'])}" if table["left_out"] else ""
        files[f"the fields {_some(table['read'])} were read{left_out}"].append(table["name"])
    return [f"Of {_some(names)} {fields}" for fields, names in files.items()]


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMES_TOLD
    return ", ".join(names[:_NAMES_TOLD]) + (f" and {more} more" if more > 0 else "")


def by_reason(skipped: Iterable[Skipped]) -> list[str]:
    """Return a line a reason, in order: "reason (2): a.png, b.png"."""
    names: defaultdict[str, list[str]] = defaultdict(list)
    for each in skipped:
        names[each.reason].append(each.name)
    return [told(reason, each) for reason, each in names.items()]


def _listed(given: str | Sequence[str]) -> tuple[str, ...]:
    parts = given.split(",") if isinstance(given, str) else given
    return tuple(part.strip() for part in parts if part.strip())


def _check_include(include: Sequence[str], found: Sequence[Entry], path: Path) -> None:
    names = [each.name for each in found if not each.reason]
    for pattern in include:
        if not any(fits(name, pattern) for name in names):
            raise ConfigError(f"{path}: no file fits {pattern!r}. Include names or patterns of files, such as *.log.")


def _check_fields(wanted: Sequence[str], files: Sequence[SourceFile], skipped: Sequence[Skipped], path: Path) -> None:
    known = {name for file in files for name in (*file.fields, *file.left_out)}
    for name in wanted:
        if not any(within(each, name) for each in known):
            hint = did_you_mean(name, known) if known else f"Not read: {'; '.join(by_reason(skipped)) or 'no file'}."
            raise ConfigError(f"{path}: no table that was read has a field {name!r}. {hint}")


def _content_hash(files: Sequence[SourceFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(json.dumps([file.name, file.text]).encode("ascii") + b"\n")
    return digest.hexdigest()
