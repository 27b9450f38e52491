"""What the names of files say: the format, which split they are of, and which part of it."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from evalkit.errors import ConfigError
from evalkit.tasks.declaration import DECLARATION
from evalkit.tasks.opening import COMPRESSED

Format = Literal["csv", "tsv", "txt", "jsonl", "json", "parquet"]
_FORMATS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".txt": "txt",
    ".qrels": "txt",
    ".qrel": "txt",
    ".trec": "txt",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
    ".pq": "parquet",
}
_SHARD = re.compile(r"(?P<split>.+?)[-_.](part[-_])?(?P<part>\d+)-of-(?P<parts>\d+)(-[0-9a-f]{16})?")
"""How the hub names the parts of a split, and others do."""
_NUMBERED = re.compile(r"(part-)?(?P<part>0\d+)([-.].*)?")
"""How the hub's converted parquet and Spark name parts of which the folder says what they are of."""
NAMES = ".csv, .tsv, .txt, .jsonl, .json or .parquet, plain or with .gz, .bz2, .xz or .zst behind it"


def format_of(path: Path) -> Format | None:
    """Return the format that a file's name says; None if it says none that is known."""
    return _FORMATS.get(_apart(path)[1])


def stem_of(path: Path) -> str:
    """Return a file's name without the suffixes of its format and compression, and without the number of a shard."""
    stem = _apart(path)[0]
    shard = _SHARD.fullmatch(stem)
    return shard["split"] if shard else stem


def suffixes_of(path: Path) -> str:
    """Return the suffixes of a file's format and compression, as they are written."""
    return path.name[len(_apart(path)[0]) :]


def files_by_split(files: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the files of each split, in order: one, or all of its shards.

    Raises ConfigError for two files of one split that are no shards of it, and for shards that are missing.
    """
    splits: dict[str, list[Path]] = {}
    for file in sorted(files):
        splits.setdefault(stem_of(file), []).append(file)
    for split, parts in splits.items():
        _check_parts(split, parts)
    return {split: tuple(parts) for split, parts in splits.items()}


def are_parts(files: Sequence[Path]) -> bool:
    """Say whether files are called by numbers alone, from 0 on: the parts of one thing."""
    numbered = [_NUMBERED.fullmatch(_apart(file)[0]) for file in files]
    numbers = sorted(int(found["part"]) for found in numbered if found)
    return len(files) > 1 and numbers == list(range(len(files)))


def check_whole(path: Path) -> None:
    """Raise ConfigError for a file that is one shard of several."""
    shard = _SHARD.fullmatch(_apart(path)[0])
    if shard and int(shard["parts"]) > 1:
        raise ConfigError(
            f"{path} is one of {int(shard['parts'])} parts of {shard['split']!r}. "
            "Give the folder that has all of them."
        )


def _check_parts(split: str, files: list[Path]) -> None:
    shards = [_SHARD.fullmatch(_apart(file)[0]) for file in files]
    numbers = [int(shard["part"]) if shard else -1 for shard in shards]
    counts = {int(shard["parts"]) if shard else 1 for shard in shards}
    folder = files[0].parent
    if len(counts) > 1 or len(set(numbers)) < len(numbers):
        raise ConfigError(
            f"{folder}: two files for the split {split!r}: {' and '.join(file.name for file in files[:2])}. "
            f"Remove one, or name the files in {DECLARATION}."
        )
    (count,) = counts
    from_one = count in numbers  # numbered from 1 on
    absent = sorted(set(range(from_one, count + from_one)) - set(numbers)) if shards[0] else []
    if absent and shards[0]:
        name, (start, stop) = files[0].name, shards[0].span("part")
        raise ConfigError(
            f"{folder}: {len(absent)} of the {count} parts of {split!r} are missing, the first "
            f"{name[:start]}{absent[0]:0{stop - start}d}{name[stop:]}. Download it."
        )


def _apart(path: Path) -> tuple[str, str]:
    """Return a file's name without the suffixes of format and compression, and the format's suffix in small
    letters.
    """
    name = path.name
    for suffix in COMPRESSED:
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
            break
    suffix = Path(name).suffix
    return (name[: -len(suffix)], suffix.lower()) if suffix.lower() in _FORMATS else (name, "")
