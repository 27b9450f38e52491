"""What a run can be told, as an editor completes it: the types that the keys of `config.RunConfig` take in Python."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict

from evalkit.compute import DeviceChoice, Dtype
from evalkit.tasks.checks import OnBadData
from evalkit.terms import EngineName

if TYPE_CHECKING:
    from evalkit.contracts import Embedder, ListReranker, Reranker, Retriever
    from evalkit.types import Task

Place: TypeAlias = str | PathLike[str]
AnyModel: TypeAlias = "str | Embedder | Retriever | Reranker | ListReranker | tuple[str, Any] | Any"
"""A spec or a name of the catalogue, a model object, or a pair of a label and an object."""
AnyTask: TypeAlias = "Place | Task | Mapping[str, Any]"
"""A name or a path, a task object, or `corpus`, `queries` and `qrels` as dicts or frames."""


class RunKeys(TypedDict, total=False):
    """The keys of a run: of `evalkit.run`, and of a suite file and the command line, which take their plain forms.

    `config.RunConfig` says what each means, its default and what is allowed.
    """

    models: "AnyModel | Sequence[AnyModel]"
    tasks: "AnyTask | Sequence[AnyTask]"
    rerankers: "AnyModel | Sequence[AnyModel]"
    top_k: int | str | Sequence[int]
    metrics: str | Sequence[str]
    main_metric: str | None
    candidates: int | None
    device: DeviceChoice
    dtype: Dtype
    engine: EngineName
    seed: int
    max_queries: int | None
    on_bad_data: OnBadData
    store: Place | None
    no_store: bool
    max_cost: float | None
    time_limit: float | None
    measure: bool
    trust_remote_code: bool
    allow_pickle: bool
    out: Place | None
    published: Place | None
    description: str
    sizes: Mapping[str, Mapping[str, float]]
