"""What a pick is about: documents that are cut in several ways, or a retrieval task that is judged already."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from evalkit.errors import ConfigError, UnknownNameError
from evalkit.picking._languages import languages_of
from evalkit.picking.chunkings import with_costs
from evalkit.picking.documents import Chunk, Chunking, Folder, chunk_statistics, split
from evalkit.picking.questions import QuestionSet, make_task, searched, with_overlap
from evalkit.picking.questions.kept import get_questions
from evalkit.results import Results
from evalkit.runner.config import RunConfig
from evalkit.runner.context import RunContext
from evalkit.runner.run import load_tasks
from evalkit.tasks.given import GivenTask
from evalkit.tasks.mteb.reference import is_mteb
from evalkit.tasks.reference import find_task
from evalkit.token_counts import count_tokens
from evalkit.types import RetrievalTask

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

QUESTIONS = "questions.jsonl"
"""In the output folder: the questions that were made."""
TEXTS = 20_000
"""So many documents of a task tell in which languages it is."""


@dataclass(frozen=True)
class Asked:
    """Where the questions about documents come from; see `questions.kept.get_questions`."""

    given: str | Path | None
    llm: "str | LLM | None"
    passages: int


@dataclass(frozen=True)
class Subject:
    """Tasks with the same questions, between whose cells a pick decides.

    `facts` are for run.json. Questions that do not `decide` recommend nothing; `document_of` names, by question, the
    document that answers it. `pieces` is how documents were cut, None for a task.
    """

    tasks: tuple[RetrievalTask, ...]
    facts: Mapping[str, Any]
    decides: bool = True
    document_of: Mapping[str, str] | None = None
    pieces: "Pieces | None" = None


@dataclass(frozen=True)
class Pieces:
    """The documents of a folder, and by chunking their chunks and the tokens of each."""

    folder: Folder
    chunks: Mapping[Chunking, Sequence[Chunk]]
    tokens: Mapping[Chunking, Sequence[int]]

    def costs(self, results: Results) -> pd.DataFrame:
        """Return what each chunking costs; see `chunkings.with_costs`."""
        tokens = {
            (chunking.label, chunk.id): count
            for chunking, chunks in self.chunks.items()
            for chunk, count in zip(chunks, self.tokens[chunking], strict=True)
        }
        return with_costs(chunk_statistics(self.folder, self.chunks), tokens, results)


def is_task(documents: object) -> bool:
    """Tell whether a pick was given a task, and not a folder of documents.

    A folder is a task if it has a task's layout; another name is one if it names a task.
    """
    if isinstance(documents, GivenTask) or is_mteb(str(documents)):
        return True
    try:
        find_task(str(documents))
        return True
    except UnknownNameError:
        return False
    except ConfigError:
        return not Path(str(documents)).is_dir()


def of_task(config: RunConfig) -> Subject:
    """Return the subject of the one task of a configuration. Raises ConfigError if it is no retrieval task."""
    tasks = load_tasks(config)
    (task, *more) = tasks
    if more or not isinstance(task, RetrievalTask):
        named = ", ".join(f"{each.name} ({each.split}; {each.type})" for each in tasks)
        raise ConfigError(
            f"a pick is of one retrieval task, and this is {named}. Name one, with its split, or use `evalkit run`."
        )
    facts = {
        "task": {"name": task.name, "split": task.split, "content_hash": task.content_hash},
        "questions": {"made": False, "decides": True, "count": len(task.queries), "drops": {}},
        "languages": languages_of(document.content for document in islice(task.corpus, TEXTS)),
    }
    return Subject((task,), facts)


def of_documents(
    read: Folder,
    asked: Asked,
    chunkings: Sequence[Chunking],
    config: RunConfig,
    context: RunContext,
    languages: Mapping[str, float],
) -> Subject:
    """Return the subject of a folder: a task a chunking, all with the same questions.

    With `max_queries` they are a seeded sample. What was made of questions is kept in `out`. Raises what reading and
    making questions raises.
    """
    kept = None if config.out is None else config.out / QUESTIONS
    questions = get_questions(read, asked.given, asked.llm, passages=asked.passages, seed=config.seed, path=kept)
    folder, questions = searched(read, questions)
    chunks = {chunking: split(folder, chunking, context) for chunking in chunkings}
    if questions.origin.made:
        questions = with_overlap(questions, chunks[chunkings[0]])
    name, sample = folder.path.resolve().name, {"max_queries": config.max_queries, "seed": config.seed}
    tasks = (make_task(name, folder, each, found, questions, **cast(Any, sample)) for each, found in chunks.items())
    tokens = {each: count_tokens(chunk.content for chunk in found) for each, found in chunks.items()}
    return Subject(
        tuple(tasks),
        {"documents": read.facts(), "languages": dict(languages), "questions": _facts(questions)},
        questions.origin.decides,
        {question.id: question.spans[0].file for question in questions.questions if question.spans},
        Pieces(folder, chunks, tokens),
    )


def _facts(questions: QuestionSet) -> dict[str, Any]:
    return {
        "origin": questions.origin,
        "made": questions.origin.made,
        "decides": questions.origin.decides,
        "caution": questions.origin.caution,
        "count": len(questions.questions),
        "unanswerable": len(questions.unanswerable),
        "drops": dict(questions.drops),
        **questions.provenance,
    }


def fitting(context: int, tokens: Iterable[Sequence[int]]) -> int:
    """Return the most chunks that fit into so many tokens, by the median of each chunking's."""
    return max(math.ceil(context / max(1, statistics.median(counts))) for counts in tokens)


def context_of(asked: int | None, most: int, tokens: Mapping[Chunking, Sequence[int]]) -> int:
    """Return the tokens that choices are compared at: `asked`, or `most`, or of small documents a quarter.

    Raises ConfigError if no way of cutting has chunks of so few tokens, or all documents together have fewer.
    """
    total = min(sum(counts) for counts in tokens.values())
    of_chunks = [math.ceil(statistics.median(counts)) for counts in tokens.values()]
    if asked is None:
        return max(*of_chunks, min(most, total // 4))
    if asked < min(of_chunks):
        raise ConfigError(f"context_tokens={asked}: most chunks have more than that; give at least {max(of_chunks)}.")
    if asked >= total:
        raise ConfigError(
            f"context_tokens={asked}: all documents together have {total}, so that every choice would hand on "
            f"everything. Give fewer, such as {max(*of_chunks, total // 4)}."
        )
    return asked
