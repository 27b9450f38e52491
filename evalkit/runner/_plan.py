"""Tells what a run would download, compute, cost and refuse, and computes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evalkit.compute import Compute
from evalkit.contracts import Described
from evalkit.errors import EvalkitError, ModelNotFoundError, reason_of
from evalkit.models.registry import CatalogueEntry, ModelSpec, build, families, kinds
from evalkit.models.registry.catalogue import entry_of
from evalkit.models.registry.folder import begins_as_path, refuse_pointer
from evalkit.models.weights import at_hand, is_offline, locate, model_files
from evalkit.runner.config import RunConfig, Size
from evalkit.tasks import load_task
from evalkit.tasks.given import GivenTask
from evalkit.tasks.kinds import TaskKind, kind_named, kind_of
from evalkit.tasks.mteb.reference import is_mteb

CHARACTERS_PER_TOKEN = 4
"""About, in English; for estimates of what an API would cost."""
DOCUMENTS_PER_SEARCH = 100
"""What providers that ask a price per search count as one."""
MEGABYTE = 1_000_000

Weights = Literal["at hand", "to download", "none", "behind an API", "cannot be run"]
Where = Literal["at hand", "as the suite declares", "unknown"]


@dataclass(frozen=True)
class TaskPlan:
    """A task: its kind and size as far as they are known. `texts` are distinct; `characters` are theirs, in all.

    `size` says how large it is; only one that `ranks` has queries and documents.
    """

    name: str
    where: Where
    kind: TaskKind[Any] | None
    size: str = "unknown"
    texts: int = 0
    queries: int = 0
    documents: int = 0
    characters: int | None = None
    megabytes: float | None = None


@dataclass(frozen=True)
class ModelPlan:
    """A model: where its weights are, and estimates of what must be downloaded (MB) and paid (USD); None: unknown.

    `checkpoint` names the weights that are read, `problem` says why the model cannot be run.
    """

    label: str
    role: Literal["model", "reranker"]
    weights: Weights
    megabytes: float | None = None
    usd: float | None = None
    checkpoint: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Plan:
    """Everything a run would do. `texts` and `pairs` are upper bounds: what the store holds is not computed again."""

    description: str
    tasks: tuple[TaskPlan, ...]
    models: tuple[ModelPlan, ...]
    cells: int
    texts: int
    pairs: int


def make_plan(
    config: RunConfig,
    models: Mapping[str, ModelSpec | EvalkitError],
    rerankers: Mapping[str, ModelSpec | EvalkitError],
    fusions: Sequence[str] = (),
) -> Plan:
    """Return the plan of a configuration whose models are resolved, or have a reason why not. `fusions` are labels.

    Raises EvalkitError for local tasks that cannot be used.
    """
    tasks = [_task(task, config) for task in dict.fromkeys(config.tasks)]
    retrieval = [task for task in tasks if task.kind is not None and task.kind.ranks]
    others = [task for task in tasks if task.kind is not None and not task.kind.ranks]
    embedders = sum(_is_embedder(spec) for spec in models.values())
    encoded = sum(task.texts for task in tasks) * embedders
    reranked = sum(task.texts for task in retrieval) * sum(_is_embedder(spec) for spec in rerankers.values())
    lists = len(models) + len(fusions)
    pairs = sum(_pairs(task, config, lists) for task in retrieval)
    scorers = sum(isinstance(spec, ModelSpec) and not _is_embedder(spec) for spec in rerankers.values())
    return Plan(
        config.description,
        tuple(tasks),
        (
            *(_model(label, "model", spec, config, tasks, lists) for label, spec in models.items()),
            *(ModelPlan(label, "model", "none", 0, 0) for label in fusions),
            *(_model(label, "reranker", spec, config, retrieval, lists) for label, spec in rerankers.items()),
        ),
        cells=len(others) * embedders + len(retrieval) * lists * (1 + len(rerankers)),
        texts=encoded + reranked,
        pairs=pairs * scorers,
    )


def _task(given: str | GivenTask, config: RunConfig) -> TaskPlan:
    if is_mteb(given):  # its data is downloaded: a plan does not touch it
        declared = config.sizes.get(given)
        return _declared(given, declared, config) if declared else TaskPlan(given, "unknown", None)
    how: Any = {"on_bad_data": config.on_bad_data, "max_queries": config.max_queries, "seed": config.seed}
    task = given.load(**how) if isinstance(given, GivenTask) else load_task(given, **how)
    kind = kind_of(task)
    texts, facts = kind.texts(task), kind.facts(task)
    return TaskPlan(
        f"{task.name} ({task.split})",
        "at hand",
        kind,
        _size(kind, facts),
        len(texts),
        facts["queries"] if kind.ranks else 0,
        facts["documents"] if kind.ranks else 0,
        characters=sum(map(len, texts)),
        megabytes=0,
    )


def _size(kind: TaskKind[Any], facts: Mapping[str, Any]) -> str:
    count = f"{facts[kind.items]:,} {kind.items}"
    return f"{count}, {facts['documents']:,} documents" if kind.ranks else count


def _declared(name: str, size: Size, config: RunConfig) -> TaskPlan:
    most = config.max_queries or 10**12
    pairs, queries, documents = min(size.pairs or 0, most), min(size.queries or 0, most), size.documents or 0
    kind = kind_named("sts") if pairs else kind_named("retrieval") if queries else None
    facts = {"pairs": pairs, "queries": queries, "documents": documents}
    return TaskPlan(
        name,
        "as the suite declares",
        kind,
        "unknown" if kind is None else _size(kind, facts),
        2 * pairs + queries + documents,
        queries,
        documents,
        megabytes=size.megabytes,
    )


def _model(
    label: str,
    role: Literal["model", "reranker"],
    spec: ModelSpec | EvalkitError,
    config: RunConfig,
    tasks: Sequence[TaskPlan],
    lists: int,
) -> ModelPlan:
    if isinstance(spec, EvalkitError):
        return ModelPlan(label, role, "cannot be run", problem=str(spec))
    entry = entry_of(spec.family, spec.name)
    if entry is not None and entry.provider is not None:
        cost = _cost(entry, spec, config, tasks, lists)
        return ModelPlan(label, role, "behind an API", 0, cost)
    try:
        weights, megabytes, checkpoint = _weights(label, spec, config, entry)
    except Exception as error:  # what loading it would raise, by whatever code it brings
        return ModelPlan(label, role, "cannot be run", problem=reason_of(error))
    return ModelPlan(label, role, weights, megabytes, 0, checkpoint)


def _weights(
    label: str, spec: ModelSpec, config: RunConfig, entry: CatalogueEntry | None
) -> tuple[Weights, float | None, str]:
    """Tell where a model's weights are, how large (MB), and what they are called.

    Raises what loading the model raises; a file of word vectors is not read for it.
    """
    family, revision = families()[spec.family], getattr(spec.options, "revision", None)
    tokenizer = getattr(spec.options, "tokenizer", None)
    if tokenizer is not None:
        return _tokenizer(tokenizer, spec.options, config)
    if family.weights == "disk" and not spec.learns:
        path = Path(spec.name).expanduser()
        if not path.exists():
            raise ModelNotFoundError(f"no file or folder {spec.name!r}. Check the path.")
        if path.is_file():
            refuse_pointer(path)
        elif path.is_dir():
            _load(spec, config)
    if family.weights not in ("hub", "registry"):
        return "none", 0, ""
    folder = at_hand(spec.name, revision)
    may_be_code = family.weights == "registry"  # some models of a registry have no weights
    is_refused = is_offline() and not may_be_code
    if folder is None and not begins_as_path(spec.name) and not is_refused:
        return "to download", _megabytes(config.sizes.get(label), entry), spec.name
    if not may_be_code:
        _load(spec, config)
    if folder is None or (revision is not None and Path(spec.name).expanduser().is_dir()):
        folder = locate(spec.name, revision, _allowed(config))  # says why not
    return "at hand", sum(path.stat().st_size for path in model_files(folder).values()) / MEGABYTE, spec.name


def _load(spec: ModelSpec, config: RunConfig) -> None:
    """Load a model that is on this disk, its weights unread where that can be. Raises what the run would raise.

    On PyTorch's device `meta` a network has shapes and no numbers. What is refused there is loaded whole, as the run
    does it: only that can tell whether the fault is the model's.
    """
    allowed = _allowed(config)
    try:
        _describe(spec, replace(allowed, device="meta"))
    except Exception:  # whatever a library, or a model's own code, makes of tensors without numbers
        _describe(spec, allowed)


def _describe(spec: ModelSpec, compute: Compute) -> None:
    """Ask a model how it is run, for which it is loaded."""
    model = build(spec, compute)
    if isinstance(model, Described):
        _ = model.settings


def _tokenizer(name: str, options: Any, config: RunConfig) -> tuple[Weights, float | None, str]:
    """Tell where the tokenizer is that a lexical model counts the tokens of."""
    from evalkit.models.terms import make_terms

    if Path(name).expanduser().is_file() or at_hand(name) is not None or begins_as_path(name) or is_offline():
        make_terms(options, _allowed(config), frozenset())
        return "none", 0, ""
    return "to download", None, name


def _allowed(config: RunConfig) -> Compute:
    return Compute(trust_remote_code=config.trust_remote_code, allow_pickle=config.allow_pickle)


def _megabytes(declared: Size | None, entry: CatalogueEntry | None) -> float | None:
    if declared is not None:
        return declared.megabytes
    if entry is None or entry.parameters is None:
        return None
    return 4 * entry.parameters  # millions of float32 numbers


def _cost(
    entry: CatalogueEntry, spec: ModelSpec, config: RunConfig, tasks: Sequence[TaskPlan], lists: int
) -> float | None:
    """Return USD, about; None where the price, or how long the texts are, is not known."""
    if entry.price is None or any(task.characters is None for task in tasks):
        return None
    if _is_embedder(spec):
        return entry.price.cost(sum(task.characters or 0 for task in tasks) // CHARACTERS_PER_TOKEN, 0)
    tokens = searches = 0
    for task in tasks:
        pairs = _pairs(task, config, lists)
        tokens += 2 * pairs * (task.characters or 0) // max(1, task.texts) // CHARACTERS_PER_TOKEN
        searches += task.queries * -(-min(task.documents, config.rerank_depth * lists) // DOCUMENTS_PER_SEARCH)
    return entry.price.cost(tokens, searches)


def _pairs(task: TaskPlan, config: RunConfig, lists: int) -> int:
    """At most so many distinct pairs of query and document come before a reranker."""
    return task.queries * min(task.documents, config.rerank_depth * lists)


def _is_embedder(spec: ModelSpec | EvalkitError) -> bool:
    return isinstance(spec, ModelSpec) and "embedder" in kinds(spec)
