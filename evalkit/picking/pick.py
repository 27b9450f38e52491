"""Compose a pick: from a folder of documents and questions to a run over its chunkings, and a recommendation."""

import math
import shutil
import statistics
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, cast

import pandas as pd

from evalkit.compute import choose_compute
from evalkit.errors import ConfigError, did_you_mean
from evalkit.measure import Limits, MeasuringInterrupted, measure, prepare
from evalkit.metrics.metric import Metric
from evalkit.models.free_models import FreeModels, free_models
from evalkit.picking._answer import in_short
from evalkit.picking._budget import Fitted, fit
from evalkit.picking._languages import language_reasons
from evalkit.picking._recommend import Recommendation, check_margin, recommend
from evalkit.picking._recommendation import to_text, why_these_models
from evalkit.picking._requirements import parse_requirements
from evalkit.picking.chunkings import chunking_table, with_costs
from evalkit.picking.documents import (
    SENTENCE,
    Chunk,
    Chunking,
    Folder,
    chunk_statistics,
    languages_of,
    read_folder,
    split,
)
from evalkit.picking.programs import Programs, programs_of
from evalkit.picking.questions import QuestionSet, make_task, searched, with_overlap
from evalkit.picking.questions.kept import get_questions
from evalkit.progress import Progress
from evalkit.reporting.table import to_markdown
from evalkit.reporting.write import CHUNKINGS, CODE, RECOMMENDATION, Reports, write_results, write_run
from evalkit.results import Results
from evalkit.runner.config import RunConfig, read_config
from evalkit.runner.keys import RunKeys
from evalkit.runner.run import Interrupted, open_context, participants_of, raise_what_failed, run_tasks
from evalkit.token_counts import count_tokens
from evalkit.types import RetrievalTask

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

QUESTIONS = "questions.jsonl"
CONTEXT_TOKENS = 2000
"""Where chunk sizes are compared, what a choice hands on has so many tokens at most, if not said otherwise."""
MEASURED = "measured"
"""In the output folder while models are measured: what was, so that an interrupted pick goes on from there."""


@dataclass(frozen=True)
class Pick:
    """What a pick gives: the run's results, what chunkings cost (see `chunkings.with_costs`), the recommendation."""

    results: Results
    chunkings: pd.DataFrame
    recommendation: Recommendation

    @property
    def answer(self) -> list[str]:
        """The answer in a few sentences: what, how sure, what it costs, what would change it."""
        return list(self.results.provenance["pick"]["recommendation"])

    def __repr__(self) -> str:
        return f"Pick({' '.join(self.answer)})"


def pick(
    documents: str | Path,
    *,
    include: str | Sequence[str] = (),
    fields: str | Sequence[str] = (),
    questions: str | Path | None = None,
    llm: "str | LLM | None" = None,
    passages: int = 50,
    chunk_size: int | Sequence[int] | None = 512,
    chunk_overlap: int | Sequence[int] = 64,
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
) -> Pick:
    """Choose a model, a reranker and a chunking for one's own documents, by one's own questions.

    `documents` is a folder (see `documents.read_folder`, also for `include` and `fields`), `questions` a file (see
    `questions.read_questions`). Without one, a language model writes them, `llm` (an object of LlamaIndex, or its
    name, see `language_models.load_llm`), on so many `passages` (see `questions.generate_questions`); without either
    they are made from the documents (see `questions.questions_from_documents`), and nothing is recommended by them.
    What was made is in `out`, and is used again, as it was edited.

    Each chunker (see `documents.Chunking`) is taken with each of the chunk sizes and each overlap, in tokens; None is
    for whole files. `require` and `margin` are those of `_recommend`; `metric` decides, and tables rank by it. If
    there is none, that is hit rate at the largest k; but where chunkers or sizes are compared, or `context_tokens` is
    given, it is hit rate in so many tokens (2,000): of each ranking, as many chunks are looked at as have so many
    tokens together, for a chunk of twice the length costs whoever reads it twice as much.

    With a `budget`, in seconds, choices are cut on part of the questions if all of them would take longer (see
    `budget.fit`). With `hybrid`, BM25 takes part, and its fusions with each embedder: by ranks, and by scores whose
    weight the questions choose (see `search.fusion`). What each choice costs is measured on at most
    `measure_queries`, for about `measure_seconds` a stage. `keys` are those of `run`, without tasks; without models,
    those that can be tried here for nothing take part (see `models.free`), and their reasons are in the provenance.

    Everything is checked before a model is loaded: raises EvalkitError. Raises Interrupted after Ctrl-C, when the
    cells that were finished are written, and what was measured, but nothing is recommended; the same pick into the
    same `out` goes on from there. Raises ReportError if tables or the recommendation cannot be made of the results,
    which are written before.

    >>> from pathlib import Path
    >>> Path("docs").mkdir()
    >>> for word in ("cats", "dogs", "fish"):
    ...     _ = Path("docs", f"{word}.md").write_text(f"All about {word}: what {word} eat, and where {word} live.")
    >>> lines = "question,file\\nwhere do cats live,cats.md\\nwhat do fish eat,fish.md\\n"
    >>> _ = Path("questions.csv").write_text(lines)
    >>> picked = pick("docs", questions="questions.csv", models="bm25,tfidf", chunk_size=None, device="cpu")
    >>> picked.recommendation.best.score
    1.0
    """
    read = read_folder(Path(documents), include=include, fields=fields)
    languages = languages_of(read)
    free = None if keys.get("models") else _free(keys, languages)
    if free is not None:
        keys = {"rerankers": free.rerankers or "none", **keys, "models": free.models}
    chunkings = _chunkings(chunker, chunk_size, chunk_overlap)
    config = read_config({**keys, "tasks": [str(documents)]})
    context_tokens = _context(context_tokens, chunkings)
    config = _ranked(config, metric, context_tokens)
    requirements = parse_requirements(require)
    check_margin(margin)
    metric = cast(str, config.main_metric)
    if not Metric.named(metric).higher_is_better:
        raise ConfigError(f"of {metric} less is better; a pick needs a metric of which more is, such as nDCG@10.")
    for required in requirements:
        if required.is_score:
            _computed(required.column, config)
    context = open_context(config)
    participants = participants_of(config)
    if hybrid:
        participants = participants.with_hybrids()
    kept = None if config.out is None else config.out / QUESTIONS
    asked = get_questions(read, questions, llm, passages=passages, seed=config.seed, path=kept)
    folder, asked = searched(read, asked)
    chunks = {chunking: split(folder, chunking, context) for chunking in chunkings}
    tokens = {chunking: count_tokens(chunk.content for chunk in found) for chunking, found in chunks.items()}
    config = _with_candidates(config, context_tokens, tokens.values())
    if asked.origin.made:
        asked = with_overlap(asked, chunks[chunkings[0]])
    tasks = _tasks(folder, chunks, asked, config)
    prepare(participants)
    fitted = None
    try:
        fitted = None if budget is None else fit(config, participants, tasks, context, metric, budget)
        results = run_tasks(config, participants, tasks, context, None if fitted is None else fitted.wanted)
    except Interrupted as interrupted:  # while samples were taken
        results = interrupted.results
    reasons = [*(() if free is None else free.reasons), *language_reasons(languages, results.provenance)]
    told = _provenance(read, languages, asked, reasons, fitted)
    results = replace(results, provenance={**results.provenance, "pick": told})
    if results.missing:
        raise _interrupted(results, config.out)
    if config.out is not None:
        # What is measured next takes a while; it may fail, or be interrupted too.
        write_results(results, config.out)
    try:
        with Progress() as progress:
            measurements = measure(
                tasks,
                participants,
                candidates=config.rerank_depth,
                context=replace(context, progress=progress),
                limits=Limits(measure_queries, measure_seconds, config.seed),
                kept=None if config.out is None else config.out / MEASURED,
            )
        results = replace(results, measurements=measurements)
    except MeasuringInterrupted as interrupted:
        raise _interrupted(replace(results, measurements=interrupted.measurements), config.out) from None
    if config.out is not None:
        write_results(results, config.out)

    def chosen() -> Pick:
        found = recommend(
            results,
            requirements,
            metric=metric,
            margin=margin,
            decide=asked.origin.decides,
            document_of={question.id: question.spans[0].file for question in asked.questions if question.spans},
        )
        decided = {**results.provenance["pick"], "recommendation": in_short(found, results)}
        by_id = {
            (chunking.label, chunk.id): count
            for chunking, of_chunking in chunks.items()
            for chunk, count in zip(of_chunking, tokens[chunking], strict=True)
        }
        costs = with_costs(chunk_statistics(folder, chunks), by_id, results)
        return Pick(replace(results, provenance={**results.provenance, "pick": decided}), costs, found)

    if config.out is None:
        return chosen()
    reports = Reports(results)
    picked = reports.make(RECOMMENDATION, chosen)
    if picked is None:
        reports.write_tables(config.out)
    else:
        reports = _write(picked, config.out, folder, chunks)
    raise_what_failed(reports, config.out, picked or results)
    shutil.rmtree(config.out / MEASURED, ignore_errors=True)
    return cast(Pick, picked)


def _interrupted(results: Results, out: Path | None) -> Interrupted:
    """Return the error after Ctrl-C; what was finished is written."""
    return Interrupted(results, None if out is None else write_run(results, out).failed)


def _context(asked: int | None, chunkings: Sequence[Chunking]) -> int | None:
    """Return the number of tokens that choices are compared at; None where all chunks have the same size.

    Chunkers fill a size in different measure.
    """
    if asked is not None and asked < 1:
        raise ConfigError(f"context_tokens={asked}: give the number of tokens that are handed on, such as 2000.")
    compared = len({(chunking.chunker, chunking.size) for chunking in chunkings}) > 1
    return CONTEXT_TOKENS if asked is None and compared else asked


def _with_candidates(config: RunConfig, context: int | None, tokens: Iterable[Sequence[int]]) -> RunConfig:
    """Return the configuration with twice as many candidates as fit into the `context`, if there is one.

    `tokens` has those of each chunk, by chunking.
    """
    if context is None or config.candidates is not None:
        return config
    fitting = [math.ceil(context / max(1, statistics.median(counts))) for counts in tokens]
    return config.model_copy(update={"candidates": 2 * max(*config.top_k, *fitting)})


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


def _tasks(
    folder: Folder, chunks: Mapping[Chunking, Sequence[Chunk]], questions: QuestionSet, config: RunConfig
) -> list[RetrievalTask]:
    """Return a task a chunking, all with the same questions; with `max_queries` a seeded sample of them."""
    name = folder.path.resolve().name
    sample: Any = {"max_queries": config.max_queries, "seed": config.seed}
    return [make_task(name, folder, chunking, found, questions, **sample) for chunking, found in chunks.items()]


def _free(keys: Mapping[str, Any], languages: Collection[str]) -> FreeModels:
    return free_models(choose_compute(keys.get("device", "auto"), keys.get("dtype", "float32")), languages)


def _provenance(
    folder: Folder,
    languages: Mapping[str, float],
    questions: QuestionSet,
    reasons: Sequence[str],
    fitted: Fitted | None,
) -> dict[str, Any]:
    return {
        "budget": None if fitted is None else {"told": fitted.told, "cut": _cut(fitted)},
        "why_these_models": list(reasons),
        "documents": {**folder.facts(), "languages": dict(languages)},
        "questions": {
            "origin": questions.origin,
            "made": questions.origin.made,
            "decides": questions.origin.decides,
            "caution": questions.origin.caution,
            "count": len(questions.questions),
            "unanswerable": len(questions.unanswerable),
            "drops": dict(questions.drops),
            **questions.provenance,
        },
    }


def _cut(fitted: Fitted) -> list[dict[str, Any]]:
    """Return the choices that were cut, each with its mean and the number of questions that it was seen on."""
    return [
        {**vars(cell), "score": None if math.isnan(each.scores[cell]) else each.scores[cell], "n": each.questions}
        for each in fitted.rounds
        for cell in each.cut
    ]


def _write(picked: Pick, out: Path, documents: Folder, chunks: Mapping[Chunking, Sequence[Chunk]]) -> Reports:
    reports = write_run(picked.results, out)
    reports.write(out, CHUNKINGS, lambda: picked.chunkings.to_csv(index=False, lineterminator="\n"))
    choice, metric = picked.recommendation.choice, picked.recommendation.metric
    programs = None
    if choice is not None:
        programs = reports.make(CODE, lambda: programs_of(choice, picked.results, documents, chunks, out, metric))
    if programs is not None:
        programs.write(reports, out)
    reports.write(out, RECOMMENDATION, lambda: _recommendation(picked, programs))
    return reports


def _recommendation(picked: Pick, programs: Programs | None) -> str:
    """Return the recommendation with its reasons, and the programs that search as it does: Markdown."""
    text = to_text(picked.recommendation, picked.results) + why_these_models(picked.results)
    shown = picked.recommendation.shown
    if shown is not None:
        table = chunking_table(picked.chunkings, shown, max(picked.results.provenance["top_k"]))
        text += "\n" + to_markdown([table]).replace("###", "##", 1)
    return text if programs is None else f"{text}\n{programs.to_markdown()}"
