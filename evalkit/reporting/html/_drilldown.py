"""Pack what is behind the scores of a task as JSON for the page: columns of numbers, and each text once."""

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.results import Results
from evalkit.types import IntArray

DIGITS = 5
"""Significant digits that numbers keep in the page: more than it shows."""


def plain(value: Any) -> Any:
    """Return the value with plain types: numbers rounded, and None for what is NaN, infinite or missing."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | Sequence):
        return [plain(each) for each in value]
    return None if pd.isna(value) else str(value)


def to_json(value: Any) -> str:
    """Return JSON in which no text can end a script element, or a line of a script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def compressed(value: Any) -> str:
    """Return the value's JSON, gzip, base64: the page's script unpacks it when it is first needed."""
    return base64.b64encode(gzip.compress(to_json(value).encode("utf-8", "replace"), 9, mtime=0)).decode("ascii")


SHOWN = 600
"""Characters of a passage, from its start, that the page shows."""
PAIRS_SHOWN = 2_000
"""Pairs of an STS task in the scatter: a sample by the run's seed where there are more."""
SCALE = 10_000
"""Values of metrics are whole numbers of ten-thousandths in the page."""
MISSING = -1
"""In columns of row numbers and values: there is none."""

Cell = tuple[str, str]


def pack_queries(
    results: Results, task: str, split: str, cells: Sequence[Cell], metrics: Sequence[str]
) -> dict[str, Any] | None:
    """Pack queries, passages, judgements, rankings and values of a retrieval task; None if the run kept no evidence.

    `documents` and `scores` have a list a cell, `depth` entries a query, in the order of the queries; `values` a list
    a metric of a list a cell. `grades` is flat: row of the query, row of the passage, grade.
    """
    evidence = results.evidence
    rankings, first, queries, documents, judged = (
        _of(getattr(evidence, name), task, split)
        for name in ("rankings", "first_relevant", "queries", "documents", "judgements")
    )
    if queries.empty or first.empty:
        return None
    query_row = pd.Index(queries["query"].astype(str))
    document_row = pd.Index(documents["document"].astype(str))
    depth = int(rankings["rank"].max()) if len(rankings) else 1
    placed = (
        pd.DataFrame(
            {
                "cell": pd.MultiIndex.from_frame(rankings[["model", "reranker"]].astype(str)).map(
                    {cell: number for number, cell in enumerate(cells)}
                ),
                "place": _rows(query_row, rankings["query"].astype(str)) * depth + rankings["rank"].to_numpy() - 1,
                "document": _rows(document_row, rankings["document"].astype(str)),
                "score": rankings["score"].to_numpy(),
            }
        )
        .dropna(subset="cell")
        .astype({"cell": int})
    )
    listed: list[list[int] | None] = [None] * len(cells)
    scores: list[list[float | None] | None] = [None] * len(cells)
    ranked = set(first[["model", "reranker"]].astype(str).itertuples(index=False, name=None))
    # One that found nothing is there too.
    for number in (number for number, cell in enumerate(cells) if cell in ranked):
        rows = placed[placed["cell"] == number]
        found = np.full(len(queries) * depth, MISSING)
        found[rows["place"]] = rows["document"]
        similarity = np.full(len(queries) * depth, np.nan)
        similarity[rows["place"]] = rows["score"]
        listed[number] = found.tolist()
        scores[number] = [None if value != value else float(f"{value:.3g}") for value in similarity.tolist()]
    known = judged[judged["document"].astype(str).isin(document_row) & judged["query"].astype(str).isin(query_row)]
    grades = np.column_stack(
        [
            _rows(query_row, known["query"].astype(str)),
            _rows(document_row, known["document"].astype(str)),
            known["grade"].to_numpy(dtype=float),
        ]
    )
    texts = documents["text"].astype(str)
    return {
        "depth": depth,
        "scale": SCALE,
        "queries": {
            "id": query_row.tolist(),
            "text": queries["text"].tolist(),
            "tags": [json.loads(tags) if tags else {} for tags in queries["tags"]],
        },
        "documents": {
            "id": document_row.tolist(),
            "title": documents["title"].fillna("").tolist(),
            "text": [text if len(text) <= SHOWN else text[:SHOWN] + " …" for text in texts],
        },
        "trimmed": SHOWN if bool((texts.str.len() > SHOWN).any()) else None,
        "grades": [int(value) if value == int(value) else value for value in grades.ravel().tolist()],
        "ranked": listed,
        "scores": scores,
        "first": [
            cells.index((model, NO_RERANKER)) if reranker != NO_RERANKER and (model, NO_RERANKER) in cells else None
            for model, reranker in cells
        ],
        "values": _values(_of(results.records, task, split), query_row, cells, metrics),
    }


def _values(
    records: pd.DataFrame, query_row: pd.Index, cells: Sequence[Cell], metrics: Sequence[str]
) -> Mapping[str, list[list[int] | None]]:
    found: dict[str, list[list[int] | None]] = {metric: [None] * len(cells) for metric in metrics}
    for (model, reranker, metric), rows in records.groupby(["model", "reranker", "metric"], observed=True):
        if metric in found and (model, reranker) in cells:
            rounded = (rows["value"] * SCALE).round().fillna(MISSING).astype(int)
            values = np.full(len(query_row), MISSING)
            place = _rows(query_row, rows["id"].astype(str))
            values[place[place >= 0]] = rounded.to_numpy()[place >= 0]
            found[metric][cells.index((model, reranker))] = values.tolist()
    return found


def pack_pairs(results: Results, task: str, split: str, models: Sequence[str]) -> dict[str, Any]:
    """Return gold and predicted similarity (the main one) of each pair and model of a task, and the sentences if
    kept.
    """
    records = _of(results.records, task, split)
    similarity = results.main_metric(task, split).similarity
    wide = records[records["metric"] == similarity].pivot(index="id", columns="model", values="value")
    held = _of(results.gold, task, split)
    gold = held.astype({"id": str}).set_index("id")["value"].reindex(wide.index.astype(str))
    total = len(wide)
    if total > PAIRS_SHOWN:
        chosen = np.random.default_rng(results.provenance["seed"]).choice(total, PAIRS_SHOWN, replace=False)
        wide, gold = wide.iloc[np.sort(chosen)], gold.iloc[np.sort(chosen)]
    pairs = _of(results.evidence.items, task, split)
    sentences = pairs.assign(id=pairs["id"].astype(str)).set_index("id").reindex(wide.index.astype(str))
    return {
        "total": total,
        "id": wide.index.astype(str).tolist(),
        "gold": plain(gold.tolist()),
        "predicted": [plain(wide[model].round(4).tolist()) if model in wide else None for model in models],
        "sentence1": plain(sentences["text"].tolist()) if len(pairs) else None,
        "sentence2": plain(sentences["second"].tolist()) if len(pairs) else None,
    }


def _of(frame: pd.DataFrame, task: str, split: str) -> pd.DataFrame:
    return frame[(frame["task"] == task) & (frame["split"] == split)]


def _rows(index: pd.Index, values: pd.Series) -> IntArray:
    """Return row numbers of values in an index; -1 for those that it lacks."""
    return index.get_indexer(pd.Index(values)).astype(np.int64)
