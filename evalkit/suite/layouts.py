"""Recognising the layouts that a task can have on disk, without reading its data."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from evalkit.errors import ConfigError
from evalkit.suite.blocks import corpus_files
from evalkit.suite.declaration import DECLARATION, StsDeclaration, read_declaration
from evalkit.suite.reading import read_columns

PAIR_COLUMNS = ("sentence1", "sentence2", "score")
_SHARD = re.compile(r"-00000-of-00001$")
"""How the hub ends the names of parquet files."""
_PAIR_SUFFIXES = (".jsonl", ".csv", ".tsv")


@dataclass(frozen=True)
class TaskInfo:
    """What is known of a task before its data is read.

    `splits` maps each split to its file: sentence pairs, qrels, or a LlamaIndex dataset that holds everything
    (then `corpus` is None in a retrieval task). `source` is the folder or file of the task.
    """

    name: str
    type: Literal["sts", "retrieval"]
    splits: Mapping[str, Path]
    source: Path
    description: str = ""
    licence: str = ""
    language: str = ""
    score_range: tuple[float, float] | None = None
    corpus: Path | None = None
    queries: Path | None = None


def describe(path: Path) -> TaskInfo:
    """Recognise the task at a path that exists.

    Raises ConfigError if it has none of the known layouts, or its task.yaml cannot be used.
    """
    if path.is_file():
        return _single_file(path)
    if (path / DECLARATION).is_file():
        return _declared(path)
    corpus, queries = _texts(path, "corpus"), _texts(path, "queries")
    if corpus and queries:
        return _beir(path, corpus, queries)
    return _pair_folder(path)


def _declared(folder: Path) -> TaskInfo:
    declared = read_declaration(folder / DECLARATION)
    texts = [] if isinstance(declared, StsDeclaration) else [declared.corpus, declared.queries]
    for file in (*declared.splits.values(), *texts):
        _check_inside(file, folder)
    task = TaskInfo(
        name=declared.name or folder.resolve().name,
        type=declared.type,
        splits={split: folder / file for split, file in declared.splits.items()},
        source=folder,
        description=declared.description,
        licence=declared.licence,
        language=declared.language,
    )
    if isinstance(declared, StsDeclaration):
        return replace(task, score_range=declared.score_range)
    corpus, queries = _plain_or_gz(folder / declared.corpus), _plain_or_gz(folder / declared.queries)
    return replace(task, corpus=corpus, queries=queries)


def _check_inside(file: str, folder: Path) -> None:
    """Raise ConfigError for a path that leaves the folder: the task may come from anybody, and its texts are shown.

    Links in the folder are followed, since the hub's cache is made of them.
    """
    if os.path.isabs(file) or os.path.normpath(file).split(os.sep)[0] == os.pardir:
        raise ConfigError(
            f"{folder / DECLARATION}: {file!r} is outside of the task's folder. Put the file into it, or a link."
        )


def _beir(folder: Path, corpus: Path, queries: Path) -> TaskInfo:
    judgements = folder / "qrels"
    splits = _by_split([*judgements.glob("*.tsv"), *judgements.glob("*.parquet")])
    if not splits:
        raise ConfigError(f"{folder}: has {corpus.name} but no judgements. Put them in {folder / 'qrels'}/*.tsv.")
    name = folder.resolve().name
    return TaskInfo(name, "retrieval", splits, folder, corpus=corpus, queries=queries)


def _single_file(path: Path) -> TaskInfo:
    if path.suffix == ".json":
        return TaskInfo(path.stem, "retrieval", {"test": path}, path)
    if path.suffix in _PAIR_SUFFIXES:
        return TaskInfo(path.stem, "sts", {path.stem: path}, path)
    raise _no_task(path, "a single file must end in .json, " + ", ".join(_PAIR_SUFFIXES))


def _pair_folder(folder: Path) -> TaskInfo:
    files = [file for file in folder.iterdir() if file.is_file() and file.suffix in _PAIR_SUFFIXES]
    # One file with the right columns makes all of them splits: leaving out a faulty test file in silence
    # would score another split in its place.
    if not any(set(PAIR_COLUMNS) <= set(read_columns(file)) for file in files):
        raise _no_task(folder, f"no file in it has the columns {', '.join(PAIR_COLUMNS)}")
    return TaskInfo(folder.resolve().name, "sts", _by_split(files), folder)


def _no_task(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{path}: not a task: {reason}. A task is a folder with {DECLARATION}, a BEIR folder (corpus.jsonl, "
        f"queries.jsonl, qrels/*.tsv), JSONL, CSV or TSV with {', '.join(PAIR_COLUMNS)}, or a LlamaIndex "
        "EmbeddingQAFinetuneDataset in a .json file."
    )


def _plain_or_gz(path: Path) -> Path:
    zipped = path.with_name(path.name + ".gz")
    return zipped if zipped.is_file() and not path.is_file() else path


def _texts(folder: Path, name: str) -> Path | None:
    """Where a BEIR folder has its corpus or queries: a JSONL or parquet file, or a folder of them as on the hub."""
    whole = [_plain_or_gz(folder / f"{name}.jsonl"), folder / f"{name}.parquet"]
    if any(corpus_files(folder / name)) and (folder / name).is_dir():
        whole.append(folder / name)
    return next((path for path in whole if path.exists()), None)


def _by_split(files: Iterable[Path]) -> dict[str, Path]:
    splits: dict[str, Path] = {}
    for file in sorted(files):
        split = _SHARD.sub("", file.stem)
        if split in splits:
            both = f"{splits[split].name} and {file.name}"
            raise ConfigError(
                f"{file.parent}: two files for the split {split!r}: {both}. "
                f"Remove one, or name the files in {DECLARATION}."
            )
        splits[split] = file
    return splits
