"""A pick before anything is computed: what the user wrote is checked, documents are read, models are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

from evalkit.compute import choose_compute
from evalkit.errors import ConfigError, did_you_mean
from evalkit.metrics.metric import Metric
from evalkit.models.free_models import free_models
from evalkit.models.registry.selection import Participants
from evalkit.picking._languages import languages_of
from evalkit.picking._recommend import check_margin
from evalkit.picking._requirements import Requirement, parse_requirements
from evalkit.picking._subject import Asked, Subject, context_of, fitting, is_task, of_documents, of_task
from evalkit.picking.documents import SENTENCE, Chunking, read_folder
from evalkit.runner.config import RunConfig, read_config
from evalkit.runner.context import RunContext
from evalkit.runner.grid import GridPlan
from evalkit.runner.keys import AnyTask, RunKeys
from evalkit.runner.measure import Limits
from evalkit.runner.run import open_context, participants_of

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

SIZE, OVERLAP = 512, 64
"""Of chunks, in tokens, if not said otherwise."""
CONTEXT_TOKENS = 2000
"""Where chunks are compared, what a choice hands on has so many tokens at most, if not said otherwise; fewer where
documents have few (see `_subject.context_of`).
"""


class PickKeys(RunKeys, total=False):
    """The keys of `evalkit.pick`, as an editor completes them: those of a run, and its own.

    `prepared` has the defaults. Those down to `chunker` are for documents only.
    """

    include: str | Sequence[str]
    fields: str | Sequence[str]
    questions: str | Path | None
    llm: "str | LLM | None"
    passages: int
    chunk_size: int | Sequence[int] | None
    chunk_overlap: int | Sequence[int]
    chunker: str | Sequence[str]
    context_tokens: int | None
    require: str
    margin: float
    metric: str | None
    budget: float | None
    hybrid: bool
    measure_queries: int
    measure_seconds: float


@dataclass(frozen=True)
class Prepared:
    """A pick to be computed. `metric` decides, `reasons` say why these models take part; `budget` is in seconds."""

    subject: Subject
    config: RunConfig
    participants: Participants
    context: RunContext
    requirements: Sequence[Requirement]
    margin: float
    metric: str
    budget: float | None
    limits: Limits
    reasons: tuple[str, ...]

    @property
    def plan(self) -> GridPlan:
        """All cells that take part."""
        return GridPlan(self.subject.tasks, self.participants, self.config.rerank_depth, self.config.depth)


def prepared(
    documents: AnyTask,
    *,
    include: str | Sequence[str] = (),
    fields: str | Sequence[str] = (),
    questions: str | Path | None = None,
    llm: "str | LLM | None" = None,
    passages: int = 50,
    chunk_size: int | Sequence[int] | None = SIZE,
    chunk_overlap: int | Sequence[int] = OVERLAP,
    chunker: str | Sequence[str] = SENTENCE,
    context_tokens: int | None = None,
    require: str = "",
    margin: float = 0.02,
    metric: str | None = None,
    budget: float | None = None,
    hybrid: bool = True,
    measure_queries: int = 50,
    measure_seconds: float = 5.0,
    **keys: Unpack[RunKeys],
) -> Prepared:
    """Return what `pick` computes, by its keys. Loads no model, unless questions or chunks are made by one.

    What can be checked without reading anything is checked first. Raises EvalkitError.
    """
    chunkings = _chunkings(chunker, chunk_size, chunk_overlap)
    within = _context(context_tokens, chunkings)

    def configured(**more: Any) -> RunConfig:
        return _ranked(read_config({**keys, **more, "tasks": documents}), metric, within)

    config = configured(models=keys.get("models") or "bm25")
    requirements = parse_requirements(require)
    check_margin(margin)
    _check_measuring(measure_queries, measure_seconds)
    decides = cast(str, config.main_metric)
    if not Metric.named(decides).higher_is_better:
        raise ConfigError(f"of {decides} less is better; a pick needs a metric of which more is, such as nDCG@10.")
    for required in requirements:
        if required.is_score:
            _computed(required.column, config)
    subject = None
    if is_task(config.tasks[0]):
        cut = chunkings != [Chunking(SIZE, OVERLAP, SENTENCE)]
        _refuse_beside_a_task(config, questions or llm or include or fields or cut)
        subject = of_task(config)
        languages = subject.facts["languages"]
    else:
        if not Path(str(documents)).is_dir():
            raise ConfigError(
                f"{documents}: not a folder, and no judged retrieval task that is known. Give the folder that your "
                "documents are in, or such a task (`evalkit tasks` lists them)."
            )
        read = read_folder(Path(str(documents)), include=include, fields=fields)
        languages = languages_of(file.text for file in read.files)
    reasons: tuple[str, ...] = ()
    if not keys.get("models"):
        free = free_models(choose_compute(config.device, config.dtype), languages)
        reasons = tuple(free.reasons)
        config = configured(models=free.models, rerankers=keys.get("rerankers") or free.rerankers or "none")
    context, participants = open_context(config), participants_of(config)
    if subject is None:
        asked = Asked(questions, llm, passages)
        subject = of_documents(read, asked, chunkings, config, context, languages)
    if within is not None and subject.pieces is not None:
        tokens = subject.pieces.tokens
        within = context_of(context_tokens, CONTEXT_TOKENS, tokens)
        config = configured(models=config.models, rerankers=config.rerankers)
        if config.candidates is None:
            candidates = 2 * max(*config.top_k, fitting(within, tokens.values()))
            config = config.model_copy(update={"candidates": candidates})
    return Prepared(
        subject,
        config,
        participants.with_hybrids() if hybrid else participants,
        context,
        requirements,
        margin,
        cast(str, config.main_metric),
        budget,
        Limits(measure_queries, measure_seconds, config.seed),
        reasons,
    )


def _check_measuring(queries: int, seconds: float) -> None:
    if queries < 1:
        raise ConfigError(f"measure_queries={queries}: a pick times at least 1 query of each choice, by default 50.")
    if not seconds >= 0:
        raise ConfigError(f"measure_seconds={seconds:g}: give the seconds of each stage, 0 or more, by default 5.")


def _refuse_beside_a_task(config: RunConfig, given: object) -> None:
    if given:
        raise ConfigError(
            f"{config.tasks[0]} is a task, which has its own documents and questions: leave out questions, llm, "
            "include, fields, and how to cut chunks."
        )


def _context(asked: int | None, chunkings: Sequence[Chunking]) -> int | None:
    """Return the number of tokens that choices are compared at; None where all chunks have the same size.

    Chunkers fill a size in different measure.
    """
    if asked is not None and asked < 1:
        raise ConfigError(f"context_tokens={asked}: give the number of tokens that are handed on, such as 2000.")
    compared = len({(chunking.chunker, chunking.size) for chunking in chunkings}) > 1
    return CONTEXT_TOKENS if asked is None and compared else asked


def _ranked(config: RunConfig, asked: str | None, context: int | None) -> RunConfig:
    """Return the configuration with the metric that decides: it is computed, and tables and reports rank by it.

    Raises ConfigError for a metric that the run does not have.
    """
    default = f"hit_rate@{max(config.top_k)}"
    if context is not None:
        default = within = f"hit_rate@{context}tokens"
        named = config.metrics or [metric.name for metric in config.ranking_metrics if metric.in_tables]
        config = config.model_copy(update={"metrics": (*named, within)})
    computed = {metric.name: metric for metric in config.ranking_metrics}
    if default not in computed:
        default = next(name for name in (*config.main_metrics, *computed) if name in computed)
    return config.model_copy(update={"main_metric": _computed(asked or config.main_metric or default, config)})


def _computed(metric: str, config: RunConfig) -> str:
    """Return the name of a metric that the run will have. Raises ConfigError for any other."""
    name, computed = Metric.parse(metric).name, [metric.name for metric in config.ranking_metrics]
    if name not in computed:
        hint = did_you_mean(name, computed)
        raise ConfigError(f"the run computes no {name}. {hint} Add its rank to top_k, or name it in metrics.")
    return name


def _chunkings(
    chunker: str | Sequence[str], size: int | Sequence[int] | None, overlap: int | Sequence[int]
) -> list[Chunking]:
    chunkers = [each.strip() for each in chunker.split(",")] if isinstance(chunker, str) else list(chunker)
    if size is None:
        return list(dict.fromkeys(Chunking(None, chunker=each) for each in chunkers))
    sizes = [size] if isinstance(size, int) else list(size)
    overlaps = [overlap] if isinstance(overlap, int) else list(overlap)
    if not chunkers or not sizes or not overlaps:
        raise ConfigError(
            "no chunkers, no chunk sizes or no overlaps: give at least one of each, such as sentence, 512 and 64."
        )
    return list(dict.fromkeys(Chunking(*each) for each in product(sizes, overlaps, chunkers)))
