"""A baseline: what of a run is needed to judge later ones, as one file that can be reviewed."""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import ConfigError
from evalkit.gating.canaries import Canaries
from evalkit.results import Results
from evalkit.results.input_diff import SETTINGS, Label, of_cell, of_task
from evalkit.results.records import CELL_KEYS, EVIDENCE_COLUMNS, GOLD_COLUMNS, Evidence

SCHEMA: Literal[1] = 1
RETRIEVED = 5
"""Results of each query that are kept, to show what was retrieved then."""
KEPT = (
    *SETTINGS,
    "metrics",
    "main_metrics",
    "started",
    "specs",
    "fusions",
    "given_models",
    "packages",
    "tasks",
    "cells",
    "failures",
)
"""Of the provenance of the run."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class BaselineCell(_Part):
    """A cell: its values by metric, one for each of the task's ids, null where undefined.

    Of retrieval, also the rank of the first relevant document, null where none was found, and the first documents as
    numbers in the task's `documents`.
    """

    model: str
    reranker: str
    values: dict[str, list[float | None]]
    ranks: list[float | None] = []
    retrieved: list[list[int]] = []


class BaselineTask(_Part):
    """A task: ids of its items, their gold scores if any, the `Mark` of each, and documents for the cells."""

    task: str
    split: str
    ids: list[str]
    gold: list[float] = []
    marks: list[Annotated[str, Field(pattern=r"^[0-9a-f]{8}:[0-9a-f]{8}$")]] = []
    documents: list[str] = []
    cells: list[BaselineCell]


class Baseline(_Part):
    """A frozen run: scores by query, provenance, and vectors of canary texts by model."""

    schema_version: Literal[1] = SCHEMA
    provenance: dict[str, Any]
    tasks: list[BaselineTask]
    canaries: dict[str, Canaries]

    def results(self) -> Results:
        """Return the run as results, as far as they were kept."""
        records = [
            pd.DataFrame({"id": task.ids, "value": values, "metric": metric}).assign(
                task=task.task, split=task.split, model=cell.model, reranker=cell.reranker
            )
            for task in self.tasks
            for cell in task.cells
            for metric, values in cell.values.items()
        ]
        frame = pd.concat(records, ignore_index=True)[[*CELL_KEYS, "id", "metric", "value"]]
        gold = [
            pd.DataFrame({"task": task.task, "split": task.split, "id": task.ids, "value": task.gold})
            for task in self.tasks
            if task.gold
        ]
        held = pd.concat(gold, ignore_index=True) if gold else pd.DataFrame(columns=GOLD_COLUMNS)
        return Results(frame.astype({"value": "float64"}), self.provenance, evidence=self._evidence(), gold=held)

    def renamed(self, names: Mapping[Label, Label]) -> "Baseline":
        """Return the same with other names of tasks. Raises ConfigError for a name that another task has."""
        labels = [(task.task, task.split) for task in self.tasks]
        taken = [names.get(label, label) for label in labels]
        twice = next((label for label in taken if taken.count(label) > 1), None)
        if twice is not None:
            raise ConfigError(
                f"{twice[0]} ({twice[1]}) is in the baseline too: it cannot be what another task became. Compare "
                "one chunking at a time, with a baseline of it alone."
            )

        def new_name(task: str, split: str) -> dict[str, str]:
            task, split = names.get((task, split), (task, split))
            return {"task": task, "split": split}

        parts = {
            key: [{**row, **new_name(row["task"], row["split"])} for row in self.provenance[key]]
            for key in ("tasks", "cells", "failures")
            if key in self.provenance
        }
        tasks = [task.model_copy(update=new_name(task.task, task.split)) for task in self.tasks]
        return self.model_copy(update={"tasks": tasks, "provenance": {**self.provenance, **parts}})

    def _evidence(self) -> Evidence:
        rankings, first = [], []
        for task in self.tasks:
            for cell in task.cells:
                labels = (task.task, task.split, cell.model, cell.reranker)
                first += [(*labels, query, rank) for query, rank in zip(task.ids, cell.ranks, strict=False)]
                rankings += [
                    (*labels, query, rank, task.documents[row], np.nan)
                    for query, rows in zip(task.ids, cell.retrieved, strict=False)
                    for rank, row in enumerate(rows, start=1)
                ]
        frames: dict[str, Any] = {name: pd.DataFrame(columns=columns) for name, columns in EVIDENCE_COLUMNS.items()}
        frames["rankings"] = pd.DataFrame(rankings, columns=EVIDENCE_COLUMNS["rankings"])
        frames["first_relevant"] = pd.DataFrame(first, columns=EVIDENCE_COLUMNS["first_relevant"])
        return Evidence(**frames)

    def write(self, path: Path) -> None:
        """Write it as JSON, a line a cell, so that a change can be read in a diff."""
        content = self.model_dump(mode="json")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_text(content) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Baseline":
        """Read what `write` wrote. Raises ConfigError for anything else, also for another schema."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"cannot read the baseline {path}: {error}. Make one: evalkit baseline RUN.") from error
        version = content.get("schema_version") if isinstance(content, dict) else None
        if version != SCHEMA:
            raise ConfigError(
                f"the baseline {path} has schema {version!r}, and this evalkit reads {SCHEMA}. Make it again: "
                "evalkit baseline RUN."
            )
        try:
            baseline = cls.model_validate(content)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise ConfigError(f"the baseline {path} is damaged: {place}: {first['msg']}. Make it again.") from error
        if not any(values for task in baseline.tasks for cell in task.cells for values in cell.values.values()):
            raise ConfigError(
                f"the baseline {path} has no scores to hold a run to. Make one of a run that has some: evalkit "
                "baseline RUN."
            )
        return baseline


def freeze(results: Results, canaries: Mapping[str, Canaries]) -> Baseline:
    """Return the baseline of a run. Raises ConfigError for a run that was interrupted, or has no scores."""
    if results.missing:
        raise ConfigError(f"this run was interrupted, and {len(results.missing)} cell(s) are missing: run it again.")
    if results.records.empty:
        raise ConfigError("this run has no scores: there is nothing to hold later runs to.")
    keys = results.records[["task", "split"]].drop_duplicates().astype(str).to_numpy().tolist()
    provenance = {key: results.provenance[key] for key in KEPT if key in results.provenance}
    tasks = [_task(results, (task, split)) for task, split in keys]
    return Baseline(provenance=provenance, tasks=tasks, canaries=dict(canaries))


class Mark(NamedTuple):
    """What makes a query, or a pair, the same: short hashes of its text (or texts), and of how it is judged."""

    text: str
    judged: str

    @classmethod
    def of(cls, text: object, judged: object) -> "Mark":
        """Return the mark of plain data."""
        return cls(*(sha256(json.dumps(each).encode()).hexdigest()[:8] for each in (text, judged)))

    @classmethod
    def parse(cls, text: str) -> "Mark":
        """Read what `str` wrote."""
        return cls(*text.split(":"))

    def __str__(self) -> str:
        return f"{self.text}:{self.judged}"


def marks(results: Results, label: Label) -> dict[str, Mark]:
    """Return the mark of each query's text and judgements, or each pair's texts and gold score, by its id.

    Empty where the run does not have the texts.
    """
    queries = of_task(results.evidence.queries, label)
    judged = of_task(results.evidence.judgements, label).sort_values(["query", "document"])
    grades = {
        query: [[document, float(grade)] for document, grade in zip(rows["document"], rows["grade"], strict=True)]
        for query, rows in judged.groupby("query", sort=False)
    }
    found = {
        str(query): Mark.of(text, grades.get(query, []))
        for query, text in zip(queries["query"], queries["text"], strict=True)
    }
    items = of_task(results.evidence.items, label)
    if len(items):
        gold = of_task(results.gold, label).astype({"id": str}).set_index("id")["value"]
        texts = zip(items["id"].astype(str), items["text"], items["second"], strict=True)
        found = {each: Mark.of([first, second], repr(gold.get(each))) for each, first, second in texts}
    return found


def _task(results: Results, label: Label) -> BaselineTask:
    records = of_task(results.records, label)
    ids = [str(each) for each in records["id"].drop_duplicates()]
    wanted = _values(results, label)
    gold = of_task(results.gold, label).astype({"id": str}).set_index("id")["value"]
    known = marks(results, label)
    rankings = of_task(results.evidence.rankings, label)
    rankings = rankings[rankings["rank"] <= RETRIEVED]
    documents = sorted({str(each) for each in rankings["document"]})
    row_of = {document: row for row, document in enumerate(documents)}
    first = of_task(results.evidence.first_relevant, label)
    cells = []
    for (model, reranker), rows in records.groupby(["model", "reranker"], observed=True, sort=False):
        by_metric = {
            str(metric): of_metric.astype({"id": str}).set_index("id")["value"].reindex(ids)
            for metric, of_metric in rows.groupby("metric", observed=True, sort=False)
            if metric in wanted
        }
        cell = (str(model), str(reranker))
        ranks = of_cell(first, label, cell).astype({"query": str}).set_index("query")["rank"]
        ranked = of_cell(rankings, label, cell).astype({"query": str}).sort_values("rank")
        listed = {
            query: [row_of[str(each)] for each in found] for query, found in ranked.groupby("query")["document"]
        }
        cells.append(
            BaselineCell(
                model=cell[0],
                reranker=cell[1],
                values={metric: _plain(values) for metric, values in by_metric.items()},
                ranks=_plain(ranks.reindex(ids)) if len(ranks) else [],
                retrieved=[listed.get(query, []) for query in ids] if listed else [],
            )
        )
    return BaselineTask(
        task=label[0],
        split=label[1],
        ids=ids,
        gold=gold.reindex(ids).tolist() if len(gold) else [],
        marks=[str(known[query]) for query in ids] if known else [],
        documents=documents,
        cells=cells,
    )


def _values(results: Results, label: Label) -> set[str]:
    """Return the values that are kept: of means those that tables have and so are compared, else the main one's."""
    main = results.main_metric(*label)
    if main.similarity is not None:
        return {main.similarity}
    return {metric.name for metric in results.metrics(*label, in_tables=True)}


def _plain(values: pd.Series) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values.astype("float64")]


def _text(content: Mapping[str, Any]) -> str:
    """Return JSON with a line for each cell and each model's canaries: neither one line in all nor a line a
    number.
    """
    tasks = []
    for task in content["tasks"]:
        cells = ",\n   ".join(map(_json, task["cells"]))
        head = _json({key: value for key, value in task.items() if key != "cells"})
        tasks.append(f'{head[:-1]}, "cells": [\n   {cells}]}}')
    canaries = ",\n  ".join(f"{_json(label)}: {_json(found)}" for label, found in content["canaries"].items())
    provenance = json.dumps(content["provenance"], indent=1, ensure_ascii=False, allow_nan=False)
    return (
        f'{{\n "schema_version": {content["schema_version"]},\n "provenance": {provenance},\n "tasks": [\n  '
        + ",\n  ".join(tasks)
        + f'],\n "canaries": {{\n  {canaries}}}\n}}'
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
