"""Recognising the layouts that a task can have on disk, without reading its data."""

import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from evalkit.errors import ConfigError
from evalkit.tasks._filenames import NAMES, are_parts, check_whole, files_by_split, format_of, stem_of, suffixes_of
from evalkit.tasks.declaration import DECLARATION, Declaration, read_declaration
from evalkit.tasks.kinds import kinds
from evalkit.tasks.kinds.retrieval import RetrievalDeclaration
from evalkit.tasks.opening import COMPRESSED, UNREADABLE, no_file, open_text
from evalkit.tasks.reading import has_fields
from evalkit.tasks.rows import PAIRS

Files = tuple[Path, ...]
"""One file, or several that are read one after another as if they were one."""
_DATASET = re.compile(r'"(corpus|queries|relevant_docs)"\s*:\s*\{')
"""What a LlamaIndex dataset has, and no table of sentence pairs."""
_SPLITS = {"train", "dev", "validation", "valid", "val", "test"}
"""What files of splits are called; other .json and .txt files in a folder may be anything."""
_PARTS: Mapping[str, tuple[str, ...]] = {
    "corpus": ("corpora", "documents", "docs", "passages", "collection"),
    "queries": ("query", "questions", "topics"),
    "qrels": ("qrel", "judgements", "judgments", "relevance"),
}
"""What people call the parts of a retrieval task, beside their names here; such a file is pointed at."""
_QRELS = ("qrels", "default")
"""The folders of judgements: BEIR's, and that of mteb's data sets on the hub."""
_PAIRS = ("data", "default")
"""The folders of sentence pairs on the hub."""


@dataclass(frozen=True)
class TaskInfo:
    """What is known of a task before its data is read.

    `splits` maps each split to its files: sentence pairs, qrels, or a LlamaIndex dataset that holds everything (then
    `corpus` and `queries` are empty); `corpus` and `queries` have those of each split of a retrieval task. `source`
    is the folder or file of the task, `declared` its task.yaml, if it has one, and `files` has what that
    names beside the splits. `type` names its kind.
    """

    name: str
    type: str
    splits: Mapping[str, Files]
    source: Path
    description: str = ""
    licence: str = ""
    language: str = ""
    corpus: Mapping[str, Files] = field(default_factory=dict)
    queries: Mapping[str, Files] = field(default_factory=dict)
    declared: Declaration | None = None
    files: Mapping[str, Files] = field(default_factory=dict)


def describe(path: Path) -> TaskInfo:
    """Recognise the task at a path that exists.

    Raises ConfigError if it has none of the known layouts, or its task.yaml cannot be used.
    """
    if not path.is_dir():
        return _single_file(path)
    if (path / DECLARATION).is_file():
        return _declared(path)
    if _texts(path, "corpus") and _texts(path, "queries"):
        return _beir(path)
    return _pair_folder(path)


def _declared(folder: Path) -> TaskInfo:
    on_disk = {name: kind.declaration for name, kind in kinds().items() if kind.declaration is not None}
    declared = read_declaration(folder / DECLARATION, on_disk)
    task = TaskInfo(
        name=declared.name or folder.resolve().name,
        type=declared.type,
        splits={split: _named(folder, file) for split, file in declared.splits.items()},
        source=folder,
        description=declared.description,
        licence=declared.licence,
        language=declared.language,
        declared=declared,
        files={key: _named(folder, getattr(declared, key)) for key in declared.files if getattr(declared, key)},
    )
    if not isinstance(declared, RetrievalDeclaration):
        return task
    return replace(
        task,
        corpus=_of_each_split(folder, "corpus", declared.corpus, task.splits),
        queries=_of_each_split(folder, "queries", declared.queries, task.splits),
    )


def _of_each_split(folder: Path, name: str, declared: str | None, splits: Iterable[str]) -> Mapping[str, Files]:
    if declared is None and _texts(folder, name):
        return _texts_by_split(folder, name, splits)
    files = _named(folder, declared or f"{name}.jsonl")
    return dict.fromkeys(splits, files)


def _named(folder: Path, file: str) -> Files:
    """Return the files that task.yaml names: a file, compressed perhaps, or all tables of a folder.

    Raises ConfigError for a path that leaves the task's folder: the task may come from anybody, and its texts are
    shown. Links in the folder are followed, since the hub's cache is made of them.
    """
    if os.path.isabs(file) or os.path.normpath(file).split(os.sep)[0] == os.pardir:
        raise ConfigError(
            f"{folder / DECLARATION}: {file!r} is outside of the task's folder. Put the file into it, or a link."
        )
    path = folder / file
    if path.is_dir():
        return _joined(files_by_split(_tables(path))) or (path,)
    if not path.exists():
        compressed = [path.with_name(path.name + suffix) for suffix in COMPRESSED]
        path = next((other for other in compressed if other.exists()), path)
    check_whole(path)
    return (path,)


def _beir(folder: Path) -> TaskInfo:
    whole = [file for file in _tables(folder) if stem_of(file) == "qrels"]
    place, apart = next(((name, found) for name in _QRELS if (found := _by_split(folder / name))), ("", {}))
    if whole and apart:
        raise ConfigError(f"{folder}: judgements in {whole[0].name} and in {place}/. Remove one.")
    if not (whole or apart):
        (corpus, *_) = _texts(folder, "corpus")
        near = _near(folder, "qrels")
        raise ConfigError(
            f"{folder}: has {corpus.name} but no judgements. "
            + (f"{near} Or put" if near else "Put")
            + f" them in {folder / 'qrels'}/*.tsv."
        )
    splits = apart or {"test": _joined(files_by_split(whole))}
    return TaskInfo(
        folder.resolve().name,
        "retrieval",
        splits,
        folder,
        corpus=_texts_by_split(folder, "corpus", splits),
        queries=_texts_by_split(folder, "queries", splits),
    )


def _single_file(path: Path) -> TaskInfo:
    if reason := no_file(path):
        raise ConfigError(f"{path}: not a task: it is {reason}.")
    form = format_of(path)
    if form is None:
        raise _no_task(path, f"the name of a single file must end in {NAMES}")
    check_whole(path)
    name = stem_of(path)
    if form == "json" and is_dataset(path):
        return TaskInfo(name, "retrieval", {"test": (path,)}, path)
    return TaskInfo(name, "sts", {name: (path,)}, path)


def is_dataset(path: Path) -> bool:
    """Say whether a file is a LlamaIndex dataset: an object of corpus, queries and relevant documents."""
    try:
        with open_text(path) as file:
            text = file.read()
    except (*UNREADABLE, UnicodeError):
        return False  # whoever loads it says what is wrong
    return text.lstrip().startswith("{") and _DATASET.search(text) is not None


def _pair_folder(folder: Path) -> TaskInfo:
    """Return a folder of sentence pairs; as on the hub, their files may be in a folder of it."""
    beside = files_by_split(filter(_may_be_split, _tables(folder)))
    for splits in chain([beside], (_by_split(folder / name, _may_be_split) for name in _PAIRS)):
        # One file with the right columns makes all of them splits: leaving out a faulty test file in silence
        # would score another split in its place.
        if any(has_fields(file, PAIRS) for file in _joined(splits)):
            return TaskInfo(folder.resolve().name, "sts", splits, folder)
    near = " ".join(filter(None, (_near(folder, part) for part in _PARTS if not _texts(folder, part))))
    raise _no_task(folder, f"no file in it has the columns {', '.join(PAIRS.needed)}", near)


def _near(folder: Path, part: str) -> str:
    """Say which files of a folder may be a part of a task under another name; "" if there is none."""
    names = {file.name: re.split(r"[\W_\d]+", stem_of(file).casefold())[0] for file in _tables(folder)}
    known = (part, *_PARTS[part])
    found = [name for name, word in names.items() if word in known or get_close_matches(word, [part], 1, 0.8)]
    if not found:
        return ""
    if len(found) > 1:
        return f"Are {' and '.join(map(repr, found[:2]))} the {part}? Put them into a folder {part}/."
    (first,) = found
    return f"Is {first!r} the {part}? Call it {part}{suffixes_of(folder / first)}, or name it in {DECLARATION}."


def _may_be_split(file: Path) -> bool:
    return format_of(file) not in ("json", "txt") or stem_of(file).lower() in _SPLITS


def _no_task(path: Path, reason: str, near: str = "") -> ConfigError:
    return ConfigError(
        f"{path}: not a task: {reason}.{near and ' '}{near} A task is a folder with {DECLARATION}, a BEIR folder "
        f"(corpus, queries and qrels), a file of {', '.join(PAIRS.needed)}, or a LlamaIndex "
        "EmbeddingQAFinetuneDataset in a .json file."
    )


def _tables(folder: Path) -> list[Path]:
    """Return the files of a folder that are called as tables are; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.is_file() and format_of(file))


def _texts(folder: Path, name: str) -> list[Path]:
    """Return the corpus or the queries of a folder: files of that name, or a folder of them as on the hub."""
    files = [file for file in _tables(folder) if stem_of(file) == name]
    return [*files, folder / name] if _by_split(folder / name) else files


def _by_split(folder: Path, may_be: Callable[[Path], bool] = lambda file: True) -> dict[str, Files]:
    """Return the files of each split in a folder: those called by it, and those in a folder called by it.

    Files that are numbered from 0 on, and called nothing else, are one split, "test".
    """
    files = [file for file in _tables(folder) if may_be(file)]
    if are_parts(files):
        return {"test": tuple(files)}
    within = sorted(filter(Path.is_dir, folder.iterdir())) if folder.is_dir() else []
    below = {each.name: _joined(files_by_split(filter(may_be, _tables(each)))) for each in within}
    return {split: found for split, found in below.items() if found} | files_by_split(files)


def _texts_by_split(folder: Path, name: str, splits: Iterable[str]) -> dict[str, Files]:
    """Return the files of the corpus or the queries for each split: all there are, or if they are of splits too, its
    own.

    Raises ConfigError for a file and a folder of one name, and for a split that has none of the files.
    """
    places = _texts(folder, name)
    if len(places) > 1 and (folder / name) in places:
        raise ConfigError(f"{folder}: both {places[0].name} and {name}/. Remove one, or name one in {DECLARATION}.")
    parts = _by_split(folder / name) if places == [folder / name] else files_by_split(places)
    if len(parts) == 1 or not parts.keys() & set(splits):
        return dict.fromkeys(splits, _joined(parts))
    without = [split for split in splits if split not in parts]
    if without:
        raise ConfigError(
            f"{folder / name}: has files for {', '.join(parts)}, and none for {', '.join(without)}, which has "
            f"judgements. Name the file in {DECLARATION}."
        )
    return {split: parts[split] for split in splits}


def _joined(parts: Mapping[str, Files]) -> Files:
    return tuple(file for files in parts.values() for file in files)
