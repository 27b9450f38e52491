"""Tasks that the caller makes in Python: of task objects, of plain dicts, or of frames."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from evalkit.errors import ConfigError
from evalkit.tasks.build import make_retrieval, make_sts
from evalkit.tasks.checks import OnBadData, Problems
from evalkit.tasks.kinds.retrieval import documents_of, judgements_of, queries_of
from evalkit.tasks.kinds.sts import pairs_of
from evalkit.tasks.reading import rows_of_records
from evalkit.tasks.rows import CORPUS, PAIRS, QRELS, QUERIES
from evalkit.types import RetrievalTask, StsTask

if TYPE_CHECKING:
    import pandas as pd

Table: TypeAlias = "pd.DataFrame | Iterable[Mapping[str, Any]]"
Texts: TypeAlias = "Mapping[str, str | Mapping[str, Any]] | pd.DataFrame | Iterable[Mapping[str, Any]]"
"""Texts by id, or rows with an id and a text (columns as in files; see docs/formats.md)."""
Judged: TypeAlias = "Mapping[str, Mapping[str, float] | Iterable[str]] | pd.DataFrame | Iterable[Mapping[str, Any]]"
"""Grades by query id and document id, ids of relevant documents by query id, or rows of both ids and a grade."""
KEYS = ("corpus", "queries", "qrels")
"""What a mapping holds that is a retrieval task."""


def retrieval_task(
    corpus: Texts,
    queries: Texts,
    qrels: Judged,
    *,
    name: str = "given",
    split: str = "test",
    on_bad_data: OnBadData = "error",
    max_queries: int | None = None,
    seed: int = 0,
) -> RetrievalTask:
    """Make a retrieval task of what is in memory, and check all of it as `load_task` checks files.

    `corpus` and `queries` are texts by id, or a frame or rows with an id and a text; a document may have a `title`.
    `qrels` are grades by query and document, or the ids of relevant documents by query, or a frame or rows.

    Raises DataError with every problem in the data.

    >>> task = retrieval_task({"d1": "cats purr", "d2": "dogs bark"}, {"q1": "who barks?"}, {"q1": ["d2"]})
    >>> task.name, len(task.corpus), len(task.queries)
    ('given', 2, 1)
    """
    problems = Problems(name)
    return make_retrieval(
        name,
        split,
        documents_of(rows_of_records(_texts(corpus), "corpus", CORPUS, problems)),
        queries_of(rows_of_records(_texts(queries), "queries", QUERIES, problems)),
        judgements_of(rows_of_records(_judgements(qrels), "qrels", QRELS, problems)),
        KEYS,
        problems,
        on_bad_data,
        max_queries,
        seed,
    )


def sts_task(
    pairs: Table,
    *,
    name: str = "given",
    split: str = "test",
    on_bad_data: OnBadData = "error",
    max_pairs: int | None = None,
    seed: int = 0,
) -> StsTask:
    """Make a task of sentence pairs with a gold score each: a frame or rows with sentence1, sentence2 and score.

    Raises DataError with every problem in the data.

    >>> task = sts_task([{"sentence1": "a cat", "sentence2": "the cat", "score": 4.5}])
    >>> task.gold.tolist()
    [4.5]
    """
    problems = Problems(name)
    rows = pairs_of(rows_of_records(_records(pairs), "pairs", PAIRS, problems), None)
    return make_sts(name, split, rows, None, "pairs", problems, on_bad_data, max_pairs, seed)


@dataclass(frozen=True, eq=False)
class GivenTask:
    """A task that a run was given in place of a name: an object, or the data of one."""

    given: Any = field(repr=False)

    @property
    def name(self) -> str:
        """The name in every table."""
        return str(self.given.get("name", "given") if isinstance(self.given, Mapping) else self.given.name)

    def load(self, *, on_bad_data: OnBadData, max_queries: int | None, seed: int) -> Any:
        """Give the task. Raises DataError for faulty data, ConfigError for what is no task or cannot be sampled."""
        if not isinstance(self.given, Mapping):
            if max_queries is not None:
                raise ConfigError(
                    f"max_queries={max_queries} draws a sample when a task is loaded, and {self.name!r} is a task "
                    "already. Draw it there: load_task(..., max_queries=...)."
                )
            return self.given
        unknown = self.given.keys() - {*KEYS, "name", "split"}
        if unknown or not set(KEYS) <= self.given.keys():
            raise ConfigError(
                f"a task of data needs {', '.join(KEYS)}, and may have name and split; got "
                f"{', '.join(map(str, self.given)) or 'nothing'}."
            )
        how: Any = {"on_bad_data": on_bad_data, "max_queries": max_queries, "seed": seed}
        return retrieval_task(**self.given, **how)


def is_task(value: object) -> bool:
    """Tell whether a value is a task object, or the data of one."""
    return isinstance(value, Mapping) or all(
        hasattr(value, part) for part in ("type", "name", "split", "content_hash")
    )


def _records(table: Any) -> Iterable[Mapping[str, Any]]:
    """Return the rows of a frame, or what already is rows."""
    if hasattr(table, "to_dict"):
        empty_as_none = table.astype(object).where(table.notna(), None)
        return cast(Iterable[Mapping[str, Any]], empty_as_none.to_dict("records"))
    return cast(Iterable[Mapping[str, Any]], table)


def _texts(given: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(given, Mapping):
        return _records(given)
    return (
        {"_id": key, **(value if isinstance(value, Mapping) else {"text": value})} for key, value in given.items()
    )


def _judgements(given: Any) -> Iterable[Mapping[str, Any]]:
    if not isinstance(given, Mapping):
        return _records(given)
    return (
        {"query-id": query, "corpus-id": document, "score": grade}
        for query, judged in given.items()
        for document, grade in _grades(judged).items()
    )


def _grades(judged: Any) -> Mapping[str, Any]:
    """Return the grades of a query's documents; 1 for each where only ids are given, or a single one."""
    if isinstance(judged, Mapping):
        return judged
    return dict.fromkeys([judged] if isinstance(judged, str) else judged, 1)
