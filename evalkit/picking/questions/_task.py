"""The retrieval task that a chunking makes of a folder's questions."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from evalkit.picking.documents import Chunk, Chunking, Folder
from evalkit.picking.questions._question import Question, QuestionSet, Span
from evalkit.tasks.build import make_retrieval, with_parts, with_passages
from evalkit.tasks.checks import Problems
from evalkit.types import Document, Part, Query, RetrievalTask


def make_task(
    name: str,
    folder: Folder,
    chunking: Chunking,
    chunks: Sequence[Chunk],
    questions: QuestionSet,
    *,
    max_queries: int | None = None,
    seed: int = 0,
) -> RetrievalTask:
    """Return the chunks as corpus, the questions as queries, and judgements (grade 1) by `relevant`; no question is
    lost, but for the sample that `max_queries` asks for: the same questions in every chunking.

    Where chunks have leaves, these are searched, as their passages. The split is the chunking's label. Query ids
    are the questions', whatever the chunking. Raises DataError if ids repeat or a question has no answer in the
    chunks.
    """
    where = str(folder.path)
    problems = Problems(where)
    for note in questions.notes:
        problems.note(note)
    by_file: defaultdict[str, list[Chunk]] = defaultdict(list)
    for chunk in chunks:
        by_file[chunk.file].append(chunk)
    task = make_retrieval(
        name,
        chunking.label,
        (chunk.document for chunk in chunks),
        (Query(question.id, question.text, question.tags) for question in questions.questions),
        _judgements(questions.questions, by_file),
        (where, where, where),
        problems,
        None,
        max_queries,
        seed,
    )
    if chunking.is_late:
        texts = {file.name: file.text for file in folder.files}
        return with_parts(task, [Part(texts[chunk.file], chunk.start, chunk.end) for chunk in chunks])
    leaves = [Document(chunk.id, leaf.text) for chunk in chunks for leaf in chunk.leaves]
    return with_passages(task, leaves) if leaves else task


def relevant(span: Span, chunks: Iterable[Chunk]) -> list[str]:
    """Return ids of the chunks that answer what the span answers.

    A chunk does if it covers at least half of the span, or lies in it for at least half of its own length, whichever
    is less. So an answer that is longer than a chunk is found in any chunk of it (a whole file: in all of its
    chunks), and one that a boundary cuts is found in the larger part. If no chunk holds that much, it is the one
    that holds most (the first of equals): no span is without a chunk, and all chunkings share their judged queries.
    """
    overlaps = {chunk: min(chunk.end, span.end) - max(chunk.start, span.start) for chunk in chunks}
    shared = {chunk: length for chunk, length in overlaps.items() if length > 0}
    enough = [
        chunk.id
        for chunk, length in shared.items()
        if 2 * length >= min(span.end - span.start, chunk.end - chunk.start)
    ]
    return enough or [max(shared, key=lambda chunk: shared[chunk]).id] if shared else []


def _judgements(
    questions: Iterable[Question], by_file: Mapping[str, Sequence[Chunk]]
) -> Iterator[tuple[str, str, float]]:
    for question in questions:
        for span in question.spans:
            for chunk in relevant(span, by_file.get(span.file, ())):
                yield question.id, chunk, 1.0
