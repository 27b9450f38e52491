"""Retrieval: queries over a corpus, and judgements of its documents."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.metrics.metric import Metric, of_rankings
from evalkit.tasks._blocks import read_document, read_in_blocks, stays_on_disk
from evalkit.tasks._json_rows import HALF_A_CHARACTER, has_half_a_character
from evalkit.tasks.build import make_retrieval
from evalkit.tasks.checks import Judgement, Problems
from evalkit.tasks.declaration import Declaration
from evalkit.tasks.kinds._kind import Loading, TaskKind
from evalkit.tasks.opening import read_lines
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import CORPUS, QRELS, QUERIES, Row
from evalkit.types import Document, Query, RetrievalTask

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo


class RetrievalDeclaration(Declaration):
    """A task of queries over a corpus: `splits` names a file of qrels each.

    `corpus` and `queries` name a file or a folder; None: what is called so. With `ignore_identical_ids` a document
    with the id of the query is no result of it; None: where it has the same text.
    """

    corpus: str | None = None
    queries: str | None = None
    ignore_identical_ids: bool | None = None


class Retrieval(TaskKind[RetrievalTask]):
    """Metrics of rankings, by query."""

    name = "retrieval"
    title = "Retrieval"
    items = "queries"
    ranks = True
    declaration = RetrievalDeclaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> RetrievalTask:
        """Read corpus, queries and judgements, or a LlamaIndex dataset that holds all three."""
        problems = Problems(info.source)
        files = info.splits[split]
        documents: Iterable[Document]
        queries: Iterable[Query]
        judgements: Iterable[Judgement]
        if info.corpus:
            corpus = info.corpus[split]
            documents = chain.from_iterable(documents_of(read_rows(path, CORPUS, problems)) for path in corpus)
            if stays_on_disk(corpus):
                documents = read_in_blocks(corpus, documents, problems)
            asked = info.queries[split]
            queries = chain.from_iterable(queries_of(read_rows(path, QUERIES, problems)) for path in asked)
            judgements = chain.from_iterable(judgements_of(read_rows(path, QRELS, problems)) for path in files)
            sources = problems.place_of(corpus), problems.place_of(asked), problems.place_of(files)
        else:
            dataset = _read_dataset(files[0], problems)
            documents = (Document(*entry) for entry in dataset["corpus"])
            queries = (Query(*entry) for entry in dataset["queries"])
            judgements = ((query, document, 1.0) for query, document in dataset["relevant_docs"])
            sources = (problems.place_of(files),) * 3
        return make_retrieval(
            info.name,
            split,
            documents,
            queries,
            judgements,
            sources,
            problems,
            how.on_bad_data,
            how.max_items,
            how.seed,
            info.declared.ignore_identical_ids if isinstance(info.declared, RetrievalDeclaration) else None,
        )

    def facts(self, task: RetrievalTask) -> dict[str, Any]:
        """Count documents and queries, and the passages that are searched in the documents' place."""
        return {
            "documents": len(task.corpus),
            "queries": len(task.queries),
            "excluded_queries": task.excluded,
            "queries_not_for_themselves": len(task.not_for_themselves),
            **({} if task.passages is None else {"passages": len(task.passages)}),
        }

    def ids(self, task: RetrievalTask) -> Sequence[str]:
        """Name the queries."""
        return [query.id for query in task.queries]

    def texts(self, task: RetrievalTask) -> Sequence[str]:
        """List documents and queries, each once."""
        return list(dict.fromkeys([*task.contents, *(query.text for query in task.queries)]))

    def metrics(self, task: RetrievalTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Choose metrics of rankings."""
        return of_rankings(names, top_k)

    def size(self, facts: Any, form: str = "") -> str:
        """Say how many queries there are, over how many documents."""
        return f"{self.asked(facts, form)} over {facts['documents']:{form}} documents"


def documents_of(rows: Iterable[Row]) -> Iterator[Document]:
    """Read documents of rows with the fields of `columns.CORPUS`."""
    return (document for row in rows if (document := read_document(row)) is not None)


def queries_of(rows: Iterable[Row]) -> Iterator[Query]:
    """Read queries of rows with the fields of `columns.QUERIES`."""
    for row in rows:
        identifier, text, metadata = row.identifier("_id"), row.text("text"), row.get("metadata")
        # Nested values name no slice.
        tags = metadata.items() if isinstance(metadata, dict) else ()
        if identifier is not None:
            named = {str(key): str(value) for key, value in tags if isinstance(value, str | int | float)}
            yield Query(identifier, text or "", named)


def judgements_of(rows: Iterable[Row]) -> Iterator[Judgement]:
    """Read judgements of the rows of one table, with the fields of `columns.QRELS`.

    Without a score every row is relevant, as NanoBEIR has them, if nothing else is there.
    """
    scored = None
    for row in rows:
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
        row.problems.note(f"{row.where}: it has no scores; each of its rows is relevant.")


def _read_dataset(path: Path, problems: Problems) -> dict[str, list[tuple[str, str]]]:
    """Return id and text of LlamaIndex's `corpus` and `queries`, query and document id of its `relevant_docs`."""
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
