"""mteb's tasks as ours: its data checked and hashed; what ours can do is ours, the rest its own evaluators do."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from evalkit.errors import ConfigError
from evalkit.tasks.build import Pair, make_retrieval, make_sts
from evalkit.tasks.checks import Judgement, OnBadData, Problems
from evalkit.tasks.kinds.reranking import with_candidates
from evalkit.tasks.mteb._evaluators import evaluator_task, is_retrieval, read_document, read_query
from evalkit.tasks.mteb.reference import Reference, find_tasks, from_mteb, task_name
from evalkit.types import RetrievalTask, StsTask, Task

if TYPE_CHECKING:
    from mteb import AbsTask


def load_tasks(
    reference: str, *, on_bad_data: OnBadData = "error", max_queries: int | None = None, seed: int = 0
) -> list[Task]:
    """Return the tasks that `mteb:NAME[?split=SPLIT&subset=SUBSET]` names: one for each split and subset of each
    task.

    NAME is a task or a benchmark of mteb. STS, retrieval and reranking become StsTask, RetrievalTask and
    RerankingTask, checked as local data is, where mteb scores them in the plain way; all else becomes an
    EvaluatorTask, which `max_queries` leaves whole.

    Raises OptionalDependencyError without mteb, UnknownNameError or ConfigError for what cannot be used or
    loaded, DataError with every problem in the data.
    """
    tasks: list[Task] = []
    for task in find_tasks(Reference.parse(reference)):
        _load_data(task)
        for split in task.eval_splits:
            for subset in task.hf_subsets:
                tasks.append(_convert(task, split, subset, on_bad_data, max_queries, seed))
    return tasks


def _load_data(task: "AbsTask") -> None:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    try:
        task.load_data()
        if isinstance(task, AbsTaskRetrieval):
            task.convert_v1_dataset_format_to_v2(num_proc=None)
    except Exception as error:  # whatever the hub's libraries and the code of 2,000 tasks raise
        raise ConfigError(
            f"mteb cannot load the data of {task.metadata.name!r}: {type(error).__name__}: {error}. Connect, or "
            f"download the data set {task.metadata.dataset['path']!r} into the hub's cache first."
        ) from error


def _convert(task: Any, split: str, subset: str, on_bad_data: OnBadData, max_queries: int | None, seed: int) -> Task:
    name = task_name(task.metadata.name, subset)
    data = task.dataset[subset][split] if subset in task.dataset else task.dataset[split]
    if _is_plain_sts(task):
        return _sts(task, name, split, data, on_bad_data, max_queries, seed)
    if is_retrieval(data):
        checked = _retrieval(task, name, split, data, on_bad_data, max_queries, seed)
        if _is_plain_retrieval(task, data):
            return checked
    return evaluator_task(task, name, split, subset, data)


def _unchanged(task: "AbsTask", base: type["AbsTask"], *methods: str) -> bool:
    return isinstance(task, base) and all(getattr(type(task), name) is getattr(base, name) for name in methods)


def _is_plain_sts(task: Any) -> bool:
    from mteb.abstasks.sts import AbsTaskSTS

    return (
        _unchanged(task, AbsTaskSTS, "evaluate", "_evaluate_subset", "_calculate_scores", "_normalize")
        and task.metadata.main_score == "cosine_spearman"
        and (task.input1_prompt_type, task.input2_prompt_type) == (None, None)
        and all(isinstance(column, str) for column in task.column_names)
    )


def _sts(
    task: Any, name: str, split: str, data: Any, on_bad_data: OnBadData, max_pairs: int | None, seed: int
) -> StsTask:
    problems = Problems(name)
    low, high = float(task.min_score), float(task.max_score)

    def pairs() -> Iterator[Pair]:
        first, second = task.column_names
        for row, (left, right, score) in enumerate(zip(data[first], data[second], data["score"], strict=True)):
            if not (left or "").strip() or not (right or "").strip():
                problems.add(f"{split}: sentence with no text", f"row {row}")
            if score is None or not low <= score <= high:
                problems.add(f"{split}: score outside {low:g} to {high:g}", f"row {row}")
            yield left or "", right or "", float("nan") if score is None else float(score)

    return make_sts(name, split, pairs(), (low, high), split, problems, on_bad_data, max_pairs, seed)


def _is_plain_retrieval(task: Any, data: Any) -> bool:
    from mteb.abstasks.retrieval import AbsTaskRetrieval

    if not _unchanged(task, AbsTaskRetrieval, "evaluate", "_evaluate_subset", "task_specific_scores"):
        return False
    # Where mteb counts a query that has only grades of 0, which no ranking can answer, its own evaluator scores.
    judged = filter(None, data["relevant_docs"].values())
    answerable = all(any(grade > 0 for grade in grades.values()) for grades in judged)
    texts = all(isinstance(text, str) for text in data["queries"]["text"][:1])
    main = task.metadata.main_score
    is_ours = from_mteb(main, "Retrieval") != main
    return is_ours and answerable and texts and not task.skip_first_result


def _retrieval(
    task: Any, name: str, split: str, data: Any, on_bad_data: OnBadData, max_queries: int | None, seed: int
) -> RetrievalTask:
    problems = Problems(name)

    def judgements() -> Iterator[Judgement]:
        for query, grades in data["relevant_docs"].items():
            for document, grade in grades.items():
                yield query, document, float(grade)

    made = make_retrieval(
        name,
        split,
        map(read_document, data["corpus"]),
        map(read_query, data["queries"]),
        judgements(),
        ("corpus", "queries", "qrels"),
        problems,
        on_bad_data,
        max_queries,
        seed,
        ignore_identical_ids=task.ignore_identical_ids,
    )
    if not data["top_ranked"]:
        return made
    # What mteb does not look at is no fault: other queries, and a document listed twice.
    listed = {query.id: list(dict.fromkeys(data["top_ranked"].get(query.id, ()))) for query in made.queries}
    return with_candidates(made, listed.items(), listed, "top_ranked", Problems(name))
