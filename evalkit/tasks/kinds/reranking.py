"""Reranking: queries that each come with candidates, which are ranked in place of the corpus."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.tasks._dialect import is_number
from evalkit.tasks._hashing import hash_rows
from evalkit.tasks.build import make_retrieval
from evalkit.tasks.checks import Judgement, Problems
from evalkit.tasks.kinds._kind import Loading
from evalkit.tasks.kinds.retrieval import Retrieval, RetrievalDeclaration
from evalkit.tasks.opening import UNREADABLE, open_text, read_lines
from evalkit.tasks.reading import read_rows
from evalkit.tasks.rows import QRELS, QUERIES, Fields, Row
from evalkit.types import Document, Query, RetrievalTask

if TYPE_CHECKING:
    from evalkit.tasks.layouts import TaskInfo

CANDIDATES = Fields(
    {
        "query-id": QRELS.needed["query-id"],
        "corpus-id": (*QRELS.needed["corpus-id"], "corpusids", "docids", "candidates", "documents"),
    }
)
LISTS = Fields(
    {
        "query": ("question", "querytext", "anchor"),
        "positive": ("positives", "pos", "relevant"),
        "negative": ("negatives", "neg", "irrelevant"),
    }
)
TREC_RUN = ("query", "Q0", "document", "rank", "score", "tag")
ID_DIGITS = 16
"""Of the hash of a text that is the id of a document which came without one."""

Listed = tuple[str, Sequence[str]]
"""A query id, and the ids of candidates of it; the same query may come again."""


class RerankingDeclaration(RetrievalDeclaration):
    """A task of queries with candidates: `splits` names a file of qrels each, `candidates` that of the candidates.

    Without `candidates`, the files of the splits have a query with its relevant and its other texts a row.
    """

    files: ClassVar[tuple[str, ...]] = ("candidates",)
    candidates: str | None = None


@dataclass(frozen=True)
class RerankingTask(RetrievalTask):
    """A retrieval task with candidates."""

    type: ClassVar[str] = "reranking"


class Reranking(Retrieval):
    """Metrics of the rankings of each query's candidates, as in mteb's reranking."""

    name = "reranking"
    title = "Reranking"
    declaration = RerankingDeclaration

    def load(self, info: "TaskInfo", split: str, how: Loading) -> RerankingTask:
        """Read corpus, queries, judgements and candidates, or rows of a query and its texts."""
        if "candidates" not in info.files:
            return _load_lists(info, split, how)
        task, problems, files = super().load(info, split, how), Problems(info.source), info.files["candidates"]
        rows = chain.from_iterable(read_rows(path, QUERIES, problems) for path in info.queries[split])
        queries = {row.identifier("_id") for row in rows}
        listed = chain.from_iterable(_read_candidates(path, problems) for path in files)
        return with_candidates(task, listed, queries, problems.place_of(files), problems)

    def facts(self, task: RetrievalTask) -> dict[str, Any]:
        """Count documents, queries, and the candidates of a query."""
        counts = [len((task.candidates or {}).get(query.id, ())) for query in task.queries]
        return {**super().facts(task), "fewest_candidates": min(counts), "most_candidates": max(counts)}

    def size(self, facts: Any, form: str = "") -> str:
        """Say how many queries there are, and how many candidates each has."""
        few, most = (f"{facts[f'{which}_candidates']:{form}}" for which in ("fewest", "most"))
        return f"{self.asked(facts, form)} with {most if few == most else f'{few} to {most}'} candidates each"


def with_candidates(
    task: RetrievalTask, listed: Iterable[Listed], queries: Container[str | None], where: str, problems: Problems
) -> RerankingTask:
    """Make a task of one whose queries have candidates; `queries` has the ids of all, also of those left out of it.

    `where` names what the candidates came from. Relevant documents that are no candidates, and queries without
    candidates, count as in mteb: they are missed. Raises DataError for candidates that are not in the corpus or are
    listed twice, or of absent queries.
    """
    candidates: dict[str, list[str]] = {}
    for query, documents in listed:
        candidates.setdefault(query, []).extend(documents)
    asked = set(chain.from_iterable(candidates.values()))
    absent = asked.difference(identifier for identifier in task.document_ids if identifier in asked)
    for query, documents in candidates.items():
        if query not in queries:
            problems.add(f"{where}: candidates of an absent query; leave them out", repr(query), fatal=True)
        faulty = {
            "candidate that the corpus lacks; list documents of the corpus": absent.intersection(documents),
            "candidate listed twice; list it once": [each for each, times in Counter(documents).items() if times > 1],
        }
        for fault, found in faulty.items():
            for document in sorted(found):
                problems.add(f"{where}: {fault}", f"{document!r} (query {query!r})", fatal=True)
    problems.settle("error")
    kept = {query.id: tuple(candidates[query.id]) for query in task.queries if candidates.get(query.id)}
    relevant = [(query, document) for query, of in task.qrels.items() for document, grade in of.items() if grade > 0]
    pairs = {(query, document) for query, documents in kept.items() for document in documents}
    missing = len(set(relevant) - pairs)
    if missing:
        problems.note(
            f"{missing:,} of {len(relevant):,} relevant documents are not among the candidates of their query: no "
            "ranking has them, and they count as missed, as in mteb."
        )
    if len(kept) < len(task.queries):
        problems.note(
            f"{len(task.queries) - len(kept):,} of {len(task.queries):,} queries have no candidates: they score 0, "
            "as in mteb."
        )
    rows = ({"query": query, "candidates": sorted(kept[query])} for query in sorted(kept))
    changed = {
        "content_hash": hash_rows({"type": RerankingTask.type, "task": task.content_hash}, rows),
        "notes": (*task.notes, *problems.notes),
        "candidates": kept,
    }
    return RerankingTask(**{**vars(task), **changed})


def _read_candidates(path: Path, problems: Problems) -> Iterator[Listed]:
    """Yield candidates of a TREC run, or of a table of a query and a document, or a list of documents, a row."""
    if _is_trec_run(path):
        for number, line in read_lines(path, problems):
            cells = line.split()
            if cells and len(cells) != len(TREC_RUN):
                problems.add(f"{problems.place(path)}: not {' '.join(TREC_RUN)}", f"line {number}", fatal=True)
            elif cells:
                yield cells[0], [cells[2]]
        return
    for row in read_rows(path, CANDIDATES, problems):
        query, documents = row.identifier("query-id"), row.get("corpus-id")
        if not isinstance(documents, list):
            document = row.identifier("corpus-id")
            documents = [document] if document else []
        if not documents or not all(isinstance(each, str | int) for each in documents):
            row.report("a query without a candidate; give an id, or a list of ids", fatal=True)
        elif query is not None:
            yield query, [str(each) for each in documents]


def _is_trec_run(path: Path) -> bool:
    try:
        with open_text(path) as file:
            first: list[str] = next((line.split() for line in file if line.strip()), [])
    except (*UNREADABLE, UnicodeError):
        return False  # whoever reads it says what is wrong
    return len(first) == len(TREC_RUN) and is_number(first[3]) and is_number(first[4])


def _load_lists(info: "TaskInfo", split: str, how: Loading) -> RerankingTask:
    """Read rows of a query and its texts. The id of a query is its row number, that of a document its text's hash."""
    problems, files = Problems(info.source), info.splits[split]
    documents: dict[str, Document] = {}
    queries: list[Query] = []
    judgements: list[Judgement] = []
    listed: list[Listed] = []
    rows = chain.from_iterable(read_rows(path, LISTS, problems) for path in files)
    number = -1
    for number, row in enumerate(rows):
        relevant, others = _texts(row, "positive"), _texts(row, "negative")
        if not relevant or not others:
            continue
        query = Query(str(number), row.text("query") or "")
        # A text that is in both is relevant.
        grades = dict.fromkeys(others, 0.0) | dict.fromkeys(relevant, 1.0)
        if len(grades) < len(relevant) + len(others):
            row.report("a text is there twice, in positive and negative together; keep it once")
        made = {text: Document(sha256(text.encode()).hexdigest()[:ID_DIGITS], text) for text in grades}
        documents |= {document.id: document for document in made.values()}
        judgements += [(query.id, made[text].id, grade) for text, grade in grades.items()]
        listed.append((query.id, [document.id for document in made.values()]))
        queries.append(query)
    where = problems.place_of(files)
    if len(queries) < number + 1:
        problems.note(
            f"{where}: {number + 1 - len(queries):,} of {number + 1:,} rows have no positive or no negative, and are "
            "left out, as in mteb and sentence-transformers."
        )
    task = make_retrieval(
        info.name,
        split,
        documents.values(),
        queries,
        judgements,
        (where,) * 3,
        problems,
        how.on_bad_data,
        how.max_items,
        how.seed,
    )
    return with_candidates(task, listed, {query.id for query in queries}, where, Problems(info.source))


def _texts(row: Row, field: str) -> list[str]:
    """Return the text or texts in a field; none after noting that it has something else."""
    value = row.get(field)
    texts = value if isinstance(value, list) else [value]
    if not all(isinstance(text, str) for text in texts):
        row.report(f"{field} is no text, and no list of texts", value=value, fatal=True)
    return [text for text in texts if isinstance(text, str)]
