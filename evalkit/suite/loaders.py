"""Loading a task: its files become checked, frozen values."""

import json
import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import get_args

from evalkit.errors import ConfigError
from evalkit.suite.blocks import read_document, read_in_blocks, stays_on_disk
from evalkit.suite.checks import Judgement, OnBadData, Problems
from evalkit.suite.columns import CORPUS, PAIRS, QRELS, QUERIES
from evalkit.suite.json_rows import HALF_A_CHARACTER, has_half_a_character
from evalkit.suite.layouts import Files, TaskInfo
from evalkit.suite.making import make_retrieval, make_sts
from evalkit.suite.opening import read_lines
from evalkit.suite.reading import read_rows
from evalkit.suite.reference import find_task
from evalkit.types import Document, Query, RetrievalTask, StsTask


def load_task(
    reference: str,
    *,
    on_bad_data: OnBadData = "error",
    max_queries: int | None = None,
    seed: int = 0,
) -> StsTask | RetrievalTask:
    """Load the task that `NAME_OR_PATH[?split=SPLIT]` names, and check all of its data.

    `max_queries` keeps a random sample (by `seed`) of that many judged queries, or sentence pairs, in the
    order of the data. With `on_bad_data="warn"` problems are one DataWarning, and the data is used in a
    defined way: the first of repeated ids and the higher of two grades count, empty texts and judgements of
    absent documents stay, judgements of absent queries and scores that are not finite numbers are left out.

    Raises UnknownNameError or ConfigError if the reference or an argument cannot be used, DataError with
    every problem in the data; under "warn" only if a file cannot be read, or fields, documents or all
    judgements are missing.
    """
    if on_bad_data not in get_args(OnBadData):
        raise ConfigError(f"on_bad_data is {on_bad_data!r}. Allowed: {', '.join(get_args(OnBadData))}.")
    if max_queries is not None and max_queries < 1:
        raise ConfigError(f"max_queries is {max_queries}; it must be at least 1, or None for all.")
    info, split = find_task(reference)
    load = _load_sts if info.type == "sts" else _load_retrieval
    return load(info, split, on_bad_data, max_queries, seed)


def _load_sts(info: TaskInfo, split: str, on_bad_data: OnBadData, max_pairs: int | None, seed: int) -> StsTask:
    problems = Problems(info.source)
    pairs = _read_pairs(info, split, problems)
    source = _source(info.splits[split], problems)
    return make_sts(info.name, split, pairs, info.score_range, source, problems, on_bad_data, max_pairs, seed)


def _load_retrieval(
    info: TaskInfo, split: str, on_bad_data: OnBadData, max_queries: int | None, seed: int
) -> RetrievalTask:
    problems = Problems(info.source)
    files = info.splits[split]
    documents: Iterable[Document]
    queries: Iterable[Query]
    judgements: Iterable[Judgement]
    if info.corpus:
        corpus = info.corpus[split]
        documents = chain.from_iterable(_read_corpus(path, problems) for path in corpus)
        if stays_on_disk(corpus):
            documents = read_in_blocks(corpus, documents, problems)
        queries = chain.from_iterable(_read_queries(path, problems) for path in info.queries[split])
        judgements = chain.from_iterable(_read_judgements(path, problems) for path in files)
        sources = _source(corpus, problems), _source(info.queries[split], problems), _source(files, problems)
    else:
        dataset = _read_dataset(files[0], problems)
        documents = (Document(*entry) for entry in dataset["corpus"])
        queries = (Query(*entry) for entry in dataset["queries"])
        judgements = ((query, document, 1.0) for query, document in dataset["relevant_docs"])
        sources = (_source(files, problems),) * 3
    return make_retrieval(
        info.name,
        split,
        documents,
        queries,
        judgements,
        sources,
        problems,
        on_bad_data,
        max_queries,
        seed,
        info.ignore_identical_ids,
    )


def _source(files: Files, problems: Problems) -> str:
    """What problems call these files: the file, or their folder."""
    return problems.place(files[0] if len(files) == 1 else files[0].parent)


def _read_pairs(info: TaskInfo, split: str, problems: Problems) -> Iterator[tuple[str, str, float]]:
    for row in chain.from_iterable(read_rows(path, PAIRS, problems) for path in info.splits[split]):
        sentences = {key: row.text(key) for key in ("sentence1", "sentence2")}
        for key, sentence in sentences.items():
            if sentence is not None and not sentence.strip():
                row.report(f"{key} with no text")
        score = row.number("score")
        if info.score_range and math.isfinite(score):
            low, high = info.score_range
            if not low <= score <= high:
                row.report(f"score outside {low:g} to {high:g}")
        yield sentences["sentence1"] or "", sentences["sentence2"] or "", score


def _read_corpus(path: Path, problems: Problems) -> Iterator[Document]:
    return (document for row in read_rows(path, CORPUS, problems) if (document := read_document(row)) is not None)


def _read_queries(path: Path, problems: Problems) -> Iterator[Query]:
    for row in read_rows(path, QUERIES, problems):
        identifier, text, metadata = row.identifier("_id"), row.text("text"), row.get("metadata")
        # Nested values name no slice.
        tags = metadata.items() if isinstance(metadata, dict) else ()
        if identifier is not None:
            named = {str(key): str(value) for key, value in tags if isinstance(value, str | int | float)}
            yield Query(identifier, text or "", named)


def _read_judgements(path: Path, problems: Problems) -> Iterator[Judgement]:
    """Judgements of a file. Without a score every row is relevant, as NanoBEIR has them: if nothing else is there."""
    scored = None
    for row in read_rows(path, QRELS, problems):
        query, document = row.identifier("query-id"), row.identifier("corpus-id")
        if scored is None:
            scored = row.has("score")
            if not scored and row.rest():
                row.report(QRELS.explain(("score",), list(row.values)), fatal=True)
                return
        if row.has("score") and not scored:
            row.report("a score, and rows before it have none", fatal=True)
        grade = row.grade("score") if scored else 1.0
        if query is not None and document is not None:
            yield query, document, grade
    if scored is False:
        problems.note(f"{problems.place(path)}: it has no scores; each of its rows is relevant.")


def _read_dataset(path: Path, problems: Problems) -> dict[str, list[tuple[str, str]]]:
    """Id and text of LlamaIndex's `corpus` and `queries`, query and document id of its `relevant_docs`."""
    where = problems.place(path)
    sections: dict[str, list[tuple[str, str]]] = {"corpus": [], "queries": [], "relevant_docs": []}
    text = "".join(line for _, line in read_lines(path, problems))
    try:
        # Pairs, not dicts, so that ids which appear twice can be seen.
        top = json.loads(text, object_pairs_hook=tuple)
    except json.JSONDecodeError as error:
        problems.add(f"{where}: not JSON: {error.msg}", f"line {error.lineno}", fatal=True)
        return sections
    except (ValueError, RecursionError) as error:  # a number too long, or nested too deeply
        problems.add(f"{where}: not JSON that can be read: {error}", fatal=True)
        return sections
    if has_half_a_character(text, top):
        problems.add(f"{where}: {HALF_A_CHARACTER}", fatal=True)
        return sections
    found = dict(top) if isinstance(top, tuple) else {}
    for section, entries in sections.items():
        if not isinstance(found.get(section), tuple):
            problems.add(f"{where}: no object {section!r}", fatal=True)
            continue
        for key, value in found[section]:
            values = value if section == "relevant_docs" else [value]
            if isinstance(values, list) and all(isinstance(each, str) for each in values):
                entries.extend((key, each) for each in values)
            else:
                problems.add(f"{where}: {section} must hold strings", repr(key), fatal=True)
    return sections
