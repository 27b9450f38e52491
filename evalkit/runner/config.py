"""What a run is made of: the same keys in a suite file, on the command line and in Python."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    PositiveInt,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from evalkit.cell import NO_RERANKER
from evalkit.compute import DeviceChoice, Dtype
from evalkit.errors import ConfigError, UnknownNameError, did_you_mean
from evalkit.metrics.metric import Metric, of_pairs, of_rankings
from evalkit.models.registry import refuse_cut_paths, split_models, tidy
from evalkit.models.registry.reference import ModelRef
from evalkit.tasks.checks import OnBadData
from evalkit.tasks.declaration import UNREADABLE_YAML
from evalkit.tasks.given import GivenTask, is_task
from evalkit.tasks.reference import bundled_tasks
from evalkit.terms import EngineName

_BY_THE_USER = {"trust_remote_code", "allow_pickle"}
"""What no suite file may set: it may come from anybody."""


WHOLE_DEPTH = 1000
"""Documents that a metric of ir_measures looks at, as in trec_eval."""
SHORT = 16
"""Tokens that a document is taken to have at least, where as many are ranked as have a number of tokens together."""


def split_list(text: str) -> list[str]:
    """Return parts of a comma-separated list; a comma inside brackets does not split: "a,b(c, d)" has two parts."""
    parts, start, depth = [], 0, 0
    for position, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _place(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


def _listed(value: Any) -> Any:
    """Return a single value, or a comma-separated string, as the list it stands for."""
    if isinstance(value, str):
        return split_list(value)
    return [value] if isinstance(value, int | Path) else value


class Size(BaseModel):
    """How large a model or task is that must be downloaded first; what is not known is left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    megabytes: float | None = Field(None, ge=0, description="of the download")
    pairs: PositiveInt | None = Field(None, description="of an STS task")
    queries: PositiveInt | None = Field(None, description="of a retrieval task")
    documents: PositiveInt | None = Field(None, description="of a retrieval task")


def _task_names(value: Any) -> Any:
    """Return task names as a list. Raises SpecError where a comma that is part of a path would cut it."""
    names = _listed(value)
    if isinstance(value, str):
        refuse_cut_paths(names)
    return names


def _name_or_task(value: Any) -> str | GivenTask:
    if isinstance(value, str | Path):
        return str(value)
    if isinstance(value, GivenTask):
        return value
    raise PydanticCustomError("name_or_task", "Input should be a valid string or a task")


Tasks = Annotated[
    tuple[Annotated[str | GivenTask, PlainValidator(_name_or_task)], ...],
    BeforeValidator(_task_names),
    PlainSerializer(lambda names: tuple(name if isinstance(name, str) else name.name for name in names)),
]


def _name_or_model(value: Any) -> str | ModelRef:
    if isinstance(value, str):
        return tidy(value)
    if isinstance(value, ModelRef):
        return value
    raise PydanticCustomError("name_or_model", "Input should be a valid string or a model")


Models = Annotated[
    tuple[Annotated[str | ModelRef, PlainValidator(_name_or_model)], ...],
    BeforeValidator(lambda value: split_models(value) if isinstance(value, str) else _listed(value)),
    PlainSerializer(lambda names: tuple(name if isinstance(name, str) else name.label for name in names)),
]


class RunConfig(BaseModel):
    """Everything a run depends on. Lists may be comma-separated strings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Models = Field(min_length=1, description="specs, catalogue names, or in Python models")
    tasks: Tasks = Field(min_length=1, description="names or paths, or in Python tasks")
    rerankers: Models = Field((NO_RERANKER,), description='the same; "none" always takes part')
    top_k: Annotated[
        tuple[PositiveInt, ...],
        BeforeValidator(_listed),
        AfterValidator(lambda given: tuple(sorted(set(given)))),  # any order is the same run, and so is a k twice
    ] = Field((5,), min_length=1, description="ranks that metrics of rankings are cut at")
    metrics: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        (),
        description="what is computed, such as nDCG@10, AP (by ir_measures) or spearman(dot), the main one first; "
        "unset: hit_rate, MRR, nDCG, R, P and AP at each top_k, and all correlations",
    )
    main_metric: str | None = Field(
        None, description="what tasks that have it are ranked by; unset: the first of metrics, else nDCG, Spearman"
    )
    candidates: PositiveInt | None = Field(None, description="documents reranked; unset: twice the largest k")
    device: DeviceChoice = "auto"
    dtype: Dtype = "float32"
    engine: EngineName = Field(
        "local", description="where models are called: here, or on the workers of a Ray cluster"
    )
    seed: int = Field(0, ge=0)
    max_queries: PositiveInt | None = Field(None, description="a seeded sample of queries or pairs, for a quick look")
    on_bad_data: OnBadData = "error"
    store: Annotated[str, BeforeValidator(_place)] | None = Field(
        None,
        description="vectors and scores computed before: a folder or s3://bucket/folder; unset: the user's cache",
    )
    no_store: bool = Field(False, description="compute everything, and keep nothing")
    max_cost: float | None = Field(
        None, ge=0, allow_inf_nan=False, description="USD that models behind paid APIs may cost in all"
    )
    time_limit: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="seconds for loading a model, and for each of its cells"
    )
    measure: bool = Field(False, description="measure what each cell costs: latency, memory, bytes")
    trust_remote_code: bool = Field(False, description="run the code that model repositories bring")
    allow_pickle: bool = Field(False, description="read pickled weights, where a model has no safetensors")
    out: Path | None = Field(None, description="folder that the results are written to")
    published: Path | None = Field(None, description="CSV of figures that others report, shown beside one's own")
    description: str = Field("", description="what the suite is for, shown by --dry-run")
    sizes: dict[str, Size] = Field(default_factory=dict, description="of its models and tasks, for --dry-run")

    @model_validator(mode="before")
    @classmethod
    def _cut_as_the_metrics(cls, given: Any) -> Any:
        """Take the cut-offs of the metrics that are named, unless top_k names them too."""
        named = given.get("metrics")
        if isinstance(named, str):
            named = split_list(named)
        if not isinstance(named, Collection | Iterator):
            return given
        names = tuple(named)
        cuts = {cut for name in names if isinstance(name, str) and (cut := Metric.parse(name).k) is not None}
        return {**({"top_k": tuple(cuts)} if cuts else {}), **given, "metrics": names}

    @model_validator(mode="after")
    def _metrics_there(self) -> Self:
        named = [Metric.parse(name) for name in self.metrics]
        cuts = {metric.k for metric in named if metric.k is not None}
        if cuts and cuts != set(self.top_k):
            raise ValueError(
                f"the metrics are cut at {', '.join(map(str, sorted(cuts)))} and top_k is "
                f"{', '.join(map(str, self.top_k))}; leave out top_k"
            )
        if self.main_metric is not None:
            main = Metric.parse(self.main_metric)
            computed = [each.name for each in (*self.ranking_metrics, *of_pairs(self.metrics))]
            if main.name not in computed:
                raise ValueError(
                    f"main_metric={main} is not computed; add it to metrics. {did_you_mean(main.name, computed)}"
                )
            if main.compared == "none":
                other = main.name.replace("pearson", "spearman")
                raise ValueError(f"main_metric={main} has no paired test to rank by; choose {other}")
        return self

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        if self.candidates is not None and self.candidates < max(self.top_k):
            raise ValueError(
                f"candidates={self.candidates} is fewer than top_k={max(self.top_k)}; give at least as many"
            )
        return self

    @model_validator(mode="after")
    def _engine_has_a_store(self) -> Self:
        if self.engine == "ray" and self.no_store:
            raise ValueError("engine=ray works through the store; leave out no_store")
        return self

    @model_validator(mode="after")
    def _writable_folder(self) -> Self:
        there = next((path for path in (self.out, *self.out.parents) if path.exists()), None) if self.out else None
        if there is not None and not there.is_dir():
            raise ValueError(f"out={self.out} cannot be a folder, since {there} is a file; choose another")
        return self

    @property
    def ranking_metrics(self) -> tuple[Metric, ...]:
        """Choose what is computed of rankings."""
        return of_rankings(self.metrics, self.top_k)

    @property
    def main_metrics(self) -> tuple[str, ...]:
        """The metrics that tasks are ranked by, each by the first of them that it has."""
        named = [Metric.parse(name).name for name in (self.main_metric, *self.metrics) if name is not None]
        return tuple(dict.fromkeys(named))

    @property
    def has_rerankers(self) -> bool:
        """Whether any reranker takes part."""
        return any(name != NO_RERANKER for name in self.rerankers)

    @property
    def depth(self) -> int:
        """Documents that are ranked of each query: as many as the metrics look at.

        Those of ir_measures look at the candidates where rerankers take part, else at `WHOLE_DEPTH`; some leave out
        documents before they cut. Those that are cut at a number of tokens look at as many documents as have so many
        if each has `SHORT` tokens.
        """
        whole = any(metric.definition is None for metric in self.ranking_metrics)
        without_cut = self.rerank_depth if self.has_rerankers else WHOLE_DEPTH
        tokens = max((metric.tokens or 0 for metric in self.ranking_metrics), default=0)
        return max(*self.top_k, without_cut if whole else 0, -(-tokens // SHORT))

    @property
    def rerank_depth(self) -> int:
        """Documents that a reranker gets of each query."""
        return self.candidates or 2 * max(self.top_k)


def _given(value: Any) -> Any:
    """Return models that are no strings, and pairs of label and model, as `ModelRef`s."""
    if isinstance(value, str | Path) or value is None:
        return _place(value)
    if isinstance(value, Mapping) or not isinstance(value, Collection | Iterator) or _is_pair(value):
        value = [value]
    # What YAML can hold in a list of names by mistake is told as such; anything else may be a model.
    named = str | Path | ModelRef | int | float | None
    return [_place(each) if isinstance(each, named) else _given_model(each) for each in value]


def _given_tasks(value: Any) -> Any:
    """Return tasks that are no strings, and mappings that hold one, as `GivenTask`s."""
    if isinstance(value, str | Path) or value is None:
        return value
    for each in (value, *value) if isinstance(value, Sequence) else (value,):
        if hasattr(each, "iloc"):
            raise ConfigError(
                f"tasks= got a table of {len(each):,} rows with the columns {', '.join(map(str, each.columns))}. "
                "Make a task of it: evalkit.sts_task(table) for pairs of sentences and scores, "
                "evalkit.retrieval_task(corpus, queries, qrels) for judged queries."
            )
    listed = [value] if is_task(value) or not isinstance(value, Collection | Iterator) else value
    return [GivenTask(each) if is_task(each) else each for each in listed]


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], str) and not isinstance(value[1], str)
    )


def _given_model(value: Any) -> ModelRef:
    return ModelRef.from_object(*value) if _is_pair(value) else ModelRef.from_object(type(value).__name__, value)


def read_config(given: Mapping[str, Any]) -> RunConfig:
    """Validate keys and values. Raises UnknownNameError for an unknown key, ConfigError for a bad value."""
    for key in given:
        if key not in RunConfig.model_fields:
            raise UnknownNameError(
                f"unknown key {key!r} in the suite. {did_you_mean(str(key), RunConfig.model_fields)}"
            )
    taken = {"models": _given, "rerankers": _given, "tasks": _given_tasks}
    named = {key: taken[key](value) if key in taken else value for key, value in given.items()}
    try:
        return RunConfig.model_validate(named)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, detail['loc'])) or 'suite'}: {_in_words(detail)}"
            for detail in error.errors()
            if detail["type"] != "too_short" or not detail["input"]  # else it counts what is left of bad items
        ]
        raise ConfigError("the suite cannot be run: " + "; ".join(problems)) from error


def _in_words(detail: ErrorDetails) -> str:
    """Say what is wrong with a value, and the value where that helps."""
    if detail["type"] == "too_short":
        return "an empty list; give at least one"
    got = f", got {detail['input']!r}" if detail["type"] != "missing" and detail["loc"] else ""
    return detail["msg"].removeprefix("Value error, ") + got


def over_suite(suite: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Put what a user gave over the keys of a suite. Metrics have cut-offs of their own: they replace the suite's."""
    replaced = {"metrics": "top_k", "top_k": "metrics"}
    gone = {other for key, other in replaced.items() if key in given and other not in given}
    return {**{key: value for key, value in suite.items() if key not in gone}, **given}


def read_suite(name: str | Path) -> dict[str, Any]:
    """Return the keys of a suite file (YAML), given by path or as the name of a bundled suite.

    The path under `published` is taken from the suite's own folder.

    Raises UnknownNameError if there is none, ConfigError if it is not a mapping.
    """
    path = Path(name)
    bundled = {file.stem: file for file in (bundled_tasks() / "suites").glob("*.yaml")}
    if not path.exists() and str(name) in bundled:
        path = bundled[str(name)]
    if not path.is_file():
        raise UnknownNameError(
            f"no suite {str(name)!r}: neither a file nor bundled. {did_you_mean(str(name), bundled)}"
        )
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UNREADABLE_YAML as error:
        raise ConfigError(f"cannot read the suite {path}: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"the suite {path} holds a {type(data).__name__}, not keys and values.")
    if granted := sorted(_BY_THE_USER & data.keys()):
        raise ConfigError(
            f"the suite {path} sets {', '.join(granted)}. Only who runs a suite can allow that: on the command line "
            "or in Python."
        )
    if isinstance(data.get("published"), str):
        data["published"] = path.parent / data["published"]
    return data
