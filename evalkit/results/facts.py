"""A run records what is known of its models beside their scores, and what is to be said of how they were run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from evalkit.cell import NO_RERANKER

MOST_COUNTED = 10_000
"""Texts (or pairs) whose tokens are counted; of more, a sample, which is always the same one."""


@dataclass(frozen=True)
class Note:
    """A sentence about a model, or about a task as a whole (`model` is empty), and the tasks that it was said of."""

    model: str
    tasks: tuple[str, ...]
    sentence: str


def read_notes(provenance: Mapping[str, Any]) -> list[Note]:
    """Collect the notes of a run's tasks and cells, each sentence about a model once, in the order of the run.

    A note of a cell with a reranker is about the reranker, and is said once for all embedders in front of it.
    """
    tasks_of: dict[tuple[str, str], dict[str, None]] = {}
    for subject in (*provenance["tasks"], *provenance["cells"]):
        reranker = subject.get("reranker", NO_RERANKER)
        model = subject.get("model", "") if reranker == NO_RERANKER else reranker
        for sentence in subject.get("notes", ()):
            tasks_of.setdefault((model, sentence), {})[f"{subject['task']} ({subject['split']})"] = None
    return [Note(model, tuple(tasks), sentence) for (model, sentence), tasks in tasks_of.items()]


NO_WEIGHTS = "no weights"
"""The licence of a model that learns from the corpus alone."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model, or of all models of a cell together; None: it is not known, or there is none.

    `weights` names them (a hub name, a file or a folder); `licence` is their SPDX identifier where there is one.
    `dim` is in dimensions, `max_length` in tokens, `parameters` in millions (0: no weights), `size` in megabytes
    (10^6 bytes) on disk; `languages` are codes. `price` is USD (0: it runs here) per `price_unit`, known in the month
    `price_as_of`.
    """

    family: str
    weights: str | None = None
    revision: str | None = None
    licence: str | None = None
    dim: int | None = None
    max_length: int | None = None
    parameters: float | None = None
    size: float | None = None
    languages: tuple[str, ...] = ()
    price: float | None = None
    price_unit: str | None = None
    price_as_of: str | None = None

    @property
    def as_data(self) -> dict[str, Any]:
        """The facts as plain data, for run.json."""
        return {**asdict(self), "languages": list(self.languages)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Self:
        """Make the facts that `as_data` gave."""
        return cls(**{**data, "languages": tuple(data["languages"])})

    @property
    def usd_per_million_tokens(self) -> float | None:
        """Return the price of a million tokens; None if there is no such price, or it is not known."""
        return self.price if self.price_unit in (None, "million tokens") else None

    @property
    def price_note(self) -> str:
        """Say what the model costs, and when that was known."""
        if self.price is None:
            return "unknown"
        if self.price_unit is None:
            return "local: no price"
        return f"{self.price:g} USD per {self.price_unit} ({self.price_as_of})"


def model_facts(label: str, provenance: Mapping[str, Any]) -> ModelFacts:
    """Look up what a run says of a model; of a fusion all its models together."""
    parts = parts_of(label, provenance)
    if label not in provenance.get("fusions", {}):
        return parts[0]
    dims = [part.dim for part in parts if part.dim is not None]
    return replace(_together(parts), family=label.partition("(")[0], dim=sum(dims) if dims else None)


def cell_facts(model: str, reranker: str, provenance: Mapping[str, Any]) -> ModelFacts:
    """Look up what is known of a cell: family and dimension of the embedder, all else of its models together."""
    first = model_facts(model, provenance)
    if reranker == NO_RERANKER:
        return first
    parts = [*parts_of(model, provenance), *parts_of(reranker, provenance)]
    return replace(_together(parts), family=first.family, dim=first.dim)


def parts_of(label: str, provenance: Mapping[str, Any]) -> list[ModelFacts]:
    """Look up what is known of each model that a label stands for: those of a fusion, or the one of that name."""
    known = provenance.get("models", {})
    labels = provenance.get("fusions", {}).get(label, [label])
    return [ModelFacts.from_data(known[part]) if part in known else ModelFacts("not known") for part in labels]


def _together(parts: Sequence[ModelFacts]) -> ModelFacts:
    """Return facts of several models together. Weights that two of them share count once."""
    licences = [part.licence for part in parts if part.licence and part.licence != NO_WEIGHTS]
    licence = " + ".join(dict.fromkeys(licences)) or NO_WEIGHTS
    once = list({part.weights or number: part for number, part in enumerate(parts)}.values())
    lengths = [part.max_length for part in parts if part.max_length is not None]
    price = _sum(part.usd_per_million_tokens for part in parts)
    dates = [part.price_as_of for part in parts if part.price_as_of is not None]
    return ModelFacts(
        "",
        licence=licence if all(part.licence for part in parts) else None,
        max_length=min(lengths, default=None),
        parameters=_sum(part.parameters for part in once),
        size=_sum(part.size for part in once),
        price=price,
        price_unit="million tokens" if price else None,
        price_as_of=min(dates) if price and dates else None,
    )


def _sum(values: Iterable[float | None]) -> float | None:
    """Add up; None if one of the values is not known."""
    known = list(values)
    return None if None in known else round(sum(value for value in known if value is not None), 9)
