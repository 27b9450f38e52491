"""mteb's own evaluators, as tasks that are handed a way to encode; and texts joined as mteb joins them."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from functools import partialmethod
from importlib.metadata import version
from itertools import chain
from typing import Any

from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.mteb.model import MtebModel, empty_meta
from evalkit.tasks.mteb.reference import numbers
from evalkit.terms import Similarity
from evalkit.types import Document, EncodeTexts, EvaluatorTask, Query


@contextmanager
def quiet() -> Iterator[None]:
    """No bars of datasets, nor of tqdm, which mteb shows whatever it is told."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from tqdm import tqdm

    shown, plain = not are_progress_bars_disabled(), tqdm.__init__
    loud: Any = tqdm
    disable_progress_bars()
    loud.__init__ = partialmethod(plain, disable=True)
    try:
        yield
    finally:
        loud.__init__ = plain
        if shown:
            enable_progress_bars()


def is_retrieval(data: Any) -> bool:
    """Tell whether a split's data is a corpus, queries and judgements."""
    return isinstance(data, Mapping) and "corpus" in data


def read_document(row: Mapping[str, Any]) -> Document:
    """Return a document whose `content` is the title, if there is one, and the text, without outer blanks."""
    title, text = row.get("title") or "", row["text"] or ""
    return Document(str(row["id"]), text if title else text.strip(), title)


def read_query(row: Mapping[str, Any]) -> Query:
    """Return a query followed by its instruction, if it has one; of a conversation the turns, apart by semicolons."""
    text, instruction = row["text"], row.get("instruction")
    if not isinstance(text, str):
        text = "; ".join(turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text)
    return Query(str(row["id"]), text + (f" {instruction}" if instruction is not None else ""))


BATCH_SIZE = 1024
"""Texts that mteb hands over at a time; they are batched for the model after that."""
_COLUMN_ATTRIBUTES = (
    "input_column_name", "input1_column_name", "input2_column_name", "column_names", "text_column_name",
    "human_summaries_column_name", "machine_summaries_column_name",
)  # fmt: skip
"""The attributes in which mteb's task classes name their columns of texts."""


def evaluator_task(task: Any, name: str, split: str, subset: str, data: Any) -> EvaluatorTask:
    """Return one split and subset of mteb's task (an AbsTask that has its data), scored by mteb's code."""
    # Evaluators draw samples. Each model gets the same draws: those of a task that was only just loaded.
    pristine = deepcopy((task.rng_state, task.np_rng))

    def evaluate(encode: EncodeTexts, similarity: Similarity) -> Mapping[str, float]:
        fresh: Any = copy(task)
        fresh.hf_subsets = [subset]
        fresh.rng_state, fresh.np_rng = deepcopy(pristine)
        model = MtebModel(encode, similarity, empty_meta("evalkit/embedder", None, similarity))
        how = {"batch_size": BATCH_SIZE, "show_progress_bar": False}
        with quiet():
            scores = fresh.evaluate(model, split, subsets_to_run=[subset], encode_kwargs=how)
        found = numbers(scores[subset])
        main = task.metadata.main_score
        return {main: found.get(main, math.nan), **found}

    rows = list(_rows(task, split, subset, data))
    settings = {
        "evaluator": f"mteb {version('mteb')}", "task": task.metadata.name, "subset": subset, "split": split,
        "seed": task.seed,
    }  # fmt: skip
    return EvaluatorTask(
        name=name,
        split=split,
        kind=str(task.metadata.type),
        texts=tuple(dict.fromkeys(_texts(task, subset, data, rows))),
        samples=_samples(task, data),
        content_hash=hash_rows(settings, rows),
        evaluate=evaluate,
    )


def _samples(task: Any, data: Any) -> int:
    if is_retrieval(data):
        return sum(bool(data["relevant_docs"].get(query)) for query in data["queries"]["id"])
    if len(data) == 1 and hasattr(task, "input1_column_name"):  # mteb's older layout: all pairs in one row
        return len(data[0][task.input1_column_name])
    return len(data)


def _rows(task: Any, split: str, subset: str, data: Any) -> Iterator[dict[str, Any]]:
    """Yield all that decides a score, as plain data."""
    if is_retrieval(data):
        yield from chain(data["corpus"], data["queries"])
        yield {"qrels": data["relevant_docs"], "top_ranked": data["top_ranked"]}
        return
    train = getattr(task, "train_split", split)
    if train != split:
        splits = task.dataset.get(subset, task.dataset)
        yield from splits[train]
    yield from data


def _texts(task: Any, subset: str, data: Any, rows: list[dict[str, Any]]) -> Iterator[str]:
    if is_retrieval(data):
        yield from (read_document(row).content for row in data["corpus"])
        return
    if task.metadata.type == "BitextMining":
        columns = subset.split("-") if getattr(task, "parallel_subsets", False) else ["sentence1", "sentence2"]
    else:
        columns = list(_strings([getattr(task, attribute, None) for attribute in _COLUMN_ATTRIBUTES]))
    for row in rows:
        yield from _strings([row.get(column) for column in columns])


def _strings(value: Any) -> Iterator[str]:
    """Yield the strings in nested lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _strings(part)
