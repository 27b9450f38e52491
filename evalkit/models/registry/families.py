"""The families of models: what each is called, can do, and needs installed.

A family stands in the module of its code, with its options. Another package adds one by an entry point in the group
`evalkit.models` that gives a `Family`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, cast

from evalkit.compute import Compute
from evalkit.errors import ConfigError, OptionalDependencyError
from evalkit.models.registry.options import Options
from evalkit.plugins import plugins

if TYPE_CHECKING:
    from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever
    from evalkit.models.registry.spec import ModelSpec


Kind = Literal["embedder", "retriever", "reranker"]
Unit = Literal["million tokens", "thousand searches"]
"""A provider asks its price for so much. A search is one query with up to 100 documents of up to 500 tokens."""
Weights = Literal["none", "hub", "disk", "registry"]
"""A NAME is a hub name or a folder, a file or a folder here, or a name in a registry of the family."""
ENTRY_POINT_GROUP = "evalkit.models"
HUB = "hub name or folder"
"""Lists tell people this of a NAME of the hub."""
TRAIN = "train"
"""The NAME of a model whose weights are learned from the task's corpus, in families that read files too."""


@dataclass(frozen=True)
class Family:
    """A family of models.

    `load` makes a model of (name, options, compute); a module imports what is heavy in it. `name_help` says what the
    NAME in FAMILY:NAME is; None means that the family takes no name. `weights` says where its weights are found.

    A family that `learns` has no weights: it learns from the task's corpus alone; one that `trains` does so for the
    name `TRAIN`. The vectors of a `sparse` one are sparse, a dimension a word. Where `counts_words`, it finds what
    BM25 finds, so that a fusion of the two adds nothing. A paid API has its price by `unit`; a family that runs any
    model there is `may_charge` too, in units of its own.

    `module` names the packages that must be installed, blanks between, by the extra `extra`. A family with `keys` is
    a paid API: one of these environment variables must hold its key. `check` is for a family whose models differ in
    kind: called with (name, options) before any model is loaded, it gives the kinds of this one, or raises SpecError.
    `facts` is called with a name, and gives what a registry of the family says of that model, by the names of
    `results.facts.ModelFacts`.
    """

    name: str
    kinds: frozenset[Kind]
    options: type[Options]
    load: Callable[[str, Any, Compute], Any]
    summary: str
    name_help: str | None = None
    weights: Weights = "none"
    module: str | None = None
    extra: str | None = None
    check: Callable[[str, Any], frozenset[Kind]] | None = None
    keys: tuple[str, ...] = ()
    learns: bool = False
    trains: bool = False
    sparse: bool = False
    counts_words: bool = False
    unit: Unit | None = None
    may_charge: bool = False
    facts: Callable[[str], Mapping[str, Any]] | None = None

    @property
    def libraries(self) -> tuple[str, ...]:
        """The packages that its models import, which takes a while and memory that is not the model's."""
        modules = tuple((self.module or "").split())
        return (*modules, "torch") if _ON_TORCH.intersection(modules) else modules


_ON_TORCH = {"transformers", "sentence_transformers"}
BUILT_IN: Mapping[str, str] = {
    "bow": "lexical",
    "tfidf": "lexical",
    "lsa": "lexical",
    "bm25": "bm25",
    "glove": "words",
    "word2vec": "words",
    "fasttext": "words",
    "static": "static",
    "cove": "cove",
    "elmo": "elmo",
    "bert": "bert",
    "sbert": "sbert",
    "splade": "splade",
    "ce": "cross_encoder",
    "maxsim": "maxsim",
    "mteb": "mteb",
    "llamaindex": "llamaindex_class",
    "openai": "providers",
    "openai-compatible": "providers",
    "cohere": "providers",
    "voyage": "providers",
    "jina": "providers",
    "google": "providers",
    "cohere-rerank": "providers",
    "voyage-rerank": "providers",
    "jina-rerank": "providers",
}
"""The module of `evalkit.models` whose `FAMILIES` has each family; it is imported when the family is asked for."""


class _Families(Mapping[str, Family]):
    """All families by name: the built-in ones, then those of installed packages."""

    def __init__(self, added: Mapping[str, Family]) -> None:
        self._added = added

    def __getitem__(self, name: str) -> Family:
        return self._added[name] if name in self._added else _built_in(BUILT_IN[name])[name]

    def __contains__(self, name: object) -> bool:
        return name in BUILT_IN or name in self._added

    def __iter__(self) -> Iterator[str]:
        return iter((*BUILT_IN, *self._added))

    def __len__(self) -> int:
        return len(BUILT_IN) + len(self._added)


@cache
def families() -> Mapping[str, Family]:
    """List all families by name.

    Raises ConfigError if an entry point cannot be imported, is no Family, or takes a name that is taken.
    """
    added: dict[str, Family] = {}
    for entry, family in plugins(ENTRY_POINT_GROUP, Family):
        if family.name in BUILT_IN or family.name in added:
            raise ConfigError(
                f"entry point {entry!r} adds a family {family.name!r}, which exists already; "
                "rename it or uninstall that package."
            )
        added[family.name] = family
    return _Families(added)


@cache
def _built_in(module: str) -> Mapping[str, Family]:
    found: tuple[Family, ...] = import_module(f"evalkit.models.{module}").FAMILIES
    return {family.name: family for family in found}


def build(spec: "ModelSpec", compute: Compute) -> "Embedder | Retriever | Reranker | ListReranker":
    """Return the model that `spec` names, loaded and ready.

    Raises OptionalDependencyError with the install line if a package is missing, and whatever error the
    family gives for weights that cannot be had.
    """
    family = families()[spec.family]
    _require_package(family)
    return cast("Embedder | Retriever | Reranker | ListReranker", family.load(spec.name, spec.options, compute))


def kinds(spec: "ModelSpec") -> frozenset[Kind]:
    """Tell what the model is, without loading it. Raises what the family's check raises."""
    family = families()[spec.family]
    if family.check is None:
        return family.kinds
    _require_package(family)
    return family.check(spec.name, spec.options)


def is_installed(spec: "ModelSpec") -> bool:
    """Tell whether the packages that the spec's family needs are there."""
    return not any(_missing(families()[spec.family]))


def _require_package(family: Family) -> None:
    for module in _missing(family):
        raise OptionalDependencyError(f"the family {family.name!r}", module, family.extra)


def _missing(family: Family) -> Iterator[str]:
    return (module for module in (family.module or "").split() if not _installed(module))


def _installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent is missing
        return False
