"""Models that count what they are asked, tasks small enough to check by hand, and the grid under test."""

import json
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np

from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.contracts import Coverage, no_progress
from evalkit.engine import LOCAL
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import OPTIONS, FusionSpec, Participants
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan, Outcome, run_grid
from evalkit.search.ranking import Fusion
from evalkit.types import Document, Query, RetrievalTask, StsTask


class FakeEmbedder:
    """Looks vectors up; notes the role and texts of every call. `spoil` changes what encode gives."""

    def __init__(
        self, vectors: Mapping[str, Sequence[float]], similarity="dot", spoil=lambda vectors, texts: vectors
    ):
        self.vectors, self.similarity, self.spoil = vectors, similarity, spoil
        self.calls: list[tuple[str, list[str]]] = []
        self.identity = {"fake": uuid4().hex}

    def encode(self, texts, role, advance=no_progress):
        self.calls.append((role, list(texts)))
        advance(len(texts))
        return self.spoil(np.array([self.vectors[text] for text in texts], dtype=np.float32), texts)


class FakeVocabulary(FakeEmbedder):
    """Knows some words only: other texts get zero vectors."""

    def encode(self, texts, role, advance=no_progress):
        return np.array([self.vectors.get(text, (0.0, 0.0)) for text in texts], dtype=np.float32)

    def coverage(self, texts):
        return Coverage(len(texts), sum(text not in self.vectors for text in texts))


class FakeFitted(FakeEmbedder):
    """Learns from a corpus: `fits` is shared by all copies, `learned` is each copy's own."""

    def __init__(self, vectors: Mapping[str, Sequence[float]]):
        super().__init__(vectors)
        self.fits: list[list[str]] = []
        self.learned: list[str] = []

    def fit(self, texts):
        fitted = copy(self)
        self.fits.append(list(texts))
        fitted.learned = [*self.learned, *texts]
        fitted.identity = {**self.identity, "corpus": fitted.learned}
        return fitted

    def encode(self, texts, role, advance=no_progress):
        unknown = set(texts) - set(self.learned) if role != "query" else set()
        assert not unknown, f"never fitted on {unknown}"
        return super().encode(texts, role, advance)


class FakeReranker:
    """Scores pairs by a function of query and document; notes every pair it is asked for."""

    scores_alone = True

    def __init__(self, score: Callable[[str, str], float] = lambda query, document: 0.0, spoil=lambda scores: scores):
        self.score_pair, self.spoil = score, spoil
        self.pairs: list[tuple[str, str]] = []
        self.identity = {"fake": uuid4().hex}

    def score(self, queries, documents, advance=no_progress):
        pairs = list(zip(queries, documents, strict=True))
        self.pairs += pairs
        advance(len(pairs))
        return self.spoil(np.array([self.score_pair(*pair) for pair in pairs], dtype=np.float64))


def retrieval_task(corpus, queries, qrels=None, name="pets") -> RetrievalTask:
    """`corpus` and `queries` map ids to texts; without `qrels` the first document answers every query."""
    first = next(iter(corpus))
    return RetrievalTask(
        name=name,
        split="test",
        corpus=tuple(Document(*item) for item in corpus.items()),
        queries=tuple(Query(*item) for item in queries.items()),
        qrels=qrels or {query: {first: 1.0} for query in queries},
        content_hash=uuid4().hex,
    )


def sts_task(pairs, name="pairs") -> StsTask:
    """`pairs` are (sentence1, sentence2, gold)."""
    first, second, gold = zip(*pairs, strict=True)
    return StsTask(name, "test", first, second, np.array(gold, dtype=np.float64), content_hash=uuid4().hex)


@dataclass(frozen=True)
class FakeRef(ModelRef):
    """A model, or an exception that loading it raises; `loads` notes what is loaded."""

    loads: list[str] = field(default_factory=list)

    def load(self, compute, spending):
        self.loads.append(self.label)
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def participants(models, rerankers=None, fusions=None, loads=None) -> Participants:
    """Who takes part, of mappings from label to model, or to the parts and the fusion of a fusion's rankings."""

    def references(given):
        notes = [] if loads is None else loads
        return {label: FakeRef(label, given=model, loads=notes) for label, model in given.items()}

    made = {
        label: FusionSpec(fusion.method, parts, fusion_options(fusion))
        for label, (parts, fusion) in (fusions or {}).items()
    }
    return Participants(references(models), references(rerankers or {}), made)


def fusion_options(fusion: Fusion):
    """The options of a spec that has this fusion."""
    chosen = OPTIONS[fusion.method]
    return chosen(**{name: getattr(fusion, name) for name in chosen.model_fields})


def run(
    tasks, models, rerankers=None, fusions=None, *, candidates=2, depth=1, loads=None, store=None, time_limit=None,
    engine=LOCAL, wanted=None,
) -> Outcome:  # fmt: skip
    """`run_grid` over mappings from label to model."""
    plan = GridPlan(tasks, participants(models, rerankers, fusions, loads), candidates, depth, wanted)
    return run_grid(plan, RunContext(Compute(), store, engine=engine, time_limit=time_limit))


def ranked(outcome: Outcome, task: RetrievalTask, model: str, reranker="none") -> dict[str, list[str]]:
    """The ids of each query's results, best first, without the padding."""
    run = outcome.rankings[Cell(task.name, task.split, model, reranker)]
    return {
        query.id: [task.corpus[row].id for row in rows if row >= 0]
        for query, rows in zip(task.queries, run.documents, strict=True)
    }


def failures(outcome: Outcome) -> dict[tuple[str, str, str], str]:
    """Reasons by task, model and reranker."""
    return {(each.cell.task, each.cell.model, each.cell.reranker): each.reason for each in outcome.failures}


def write_tasks(folder):
    """A tiny retrieval task `pets` and a tiny STS task `pairs.jsonl` on disk; returns both paths as strings.

    Of 4 queries one has no relevant document, and one shares no word with any document.
    """
    pets = folder / "pets"
    (pets / "qrels").mkdir(parents=True)
    corpus = {"9": "a cat naps", "10": "a cat naps", "a": "dogs bark at cats", "b": "fish swim"}
    queries = {"q1": "cat", "q2": "dogs bark", "q3": "zebra", "q4": "unjudged fish"}
    for name, texts in (("corpus", corpus), ("queries", queries)):
        _write_jsonl(pets / f"{name}.jsonl", [{"_id": key, "text": text} for key, text in texts.items()])
    judgements = ["query-id\tcorpus-id\tscore", "q1\t10\t1", "q2\ta\t2", "q3\tb\t1"]
    (pets / "qrels" / "test.tsv").write_text("\n".join(judgements) + "\n")
    pairs = [
        ("a cat naps", "the cat naps", 4.5), ("dogs bark", "a dog barks", 3.0), ("fish swim", "cars drive", 0.0),
        ("a red car", "a red bus", 2.0), ("she reads a book", "she reads", 3.5), ("rain falls", "it is dry", 0.5),
    ]  # fmt: skip
    _write_jsonl(
        folder / "pairs.jsonl", [dict(zip(("sentence1", "sentence2", "score"), pair, strict=True)) for pair in pairs]
    )
    return str(pets), str(folder / "pairs.jsonl")


def write_retrieval_task(folder, corpus, queries, qrels) -> str:
    """A retrieval task on disk, as BEIR lays it out: texts by id, grades by query and document; its path."""
    (folder / "qrels").mkdir(parents=True)
    for name, texts in (("corpus", corpus), ("queries", queries)):
        _write_jsonl(folder / f"{name}.jsonl", [{"_id": key, "text": text} for key, text in texts.items()])
    judged = [
        f"{query}\t{document}\t{grade}" for query, grades in qrels.items() for document, grade in grades.items()
    ]
    (folder / "qrels" / "test.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *judged]) + "\n")
    return str(folder)


def _write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def some_of_ten_k(data_dir: Path, folder: Path) -> str:
    """The first hundred of the real 10-K passages, and their questions, as a task: its file."""
    saved = json.loads((data_dir / "llamaindex-10k-val" / "val_dataset.json").read_text(encoding="utf-8"))
    corpus = dict(list(saved["corpus"].items())[:100])
    relevant = {query: found for query, found in saved["relevant_docs"].items() if corpus.keys() >= set(found)}
    queries = {query: saved["queries"][query] for query in relevant}
    file = folder / "ten-k.json"
    file.write_text(json.dumps({**saved, "corpus": corpus, "relevant_docs": relevant, "queries": queries}))
    return str(file)


def as_files(task: RetrievalTask, top: Path) -> None:
    """Write the documents of a task as the files of a folder docs, and its queries as questions.jsonl beside it."""
    (top / "docs").mkdir()
    for document in task.corpus:
        (top / "docs" / f"{document.id}.txt").write_bytes(document.text.encode())
    rows = [
        {"id": query.id, "question": query.text, "file": f"{document}.txt"}
        for query in task.queries
        for document in task.qrels[query.id]
    ]
    (top / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
