"""What a run is held to: the policy of a gate, from a file, the command line or Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError

from evalkit.errors import ConfigError, did_you_mean
from evalkit.metrics.metric import name_of
from evalkit.tasks.declaration import UNREADABLE_YAML


def _at_most_1(value: float) -> float:
    if value > 1:
        hint = f"; for {value:g} % write {value / 100:g}" if value <= 100 else ""
        raise ValueError(f"a fraction of at most 1 is expected{hint}")
    return value


Fraction = Annotated[float, AfterValidator(_at_most_1)]
"""Of scores, which are from 0 to 1 (a correlation from -1): what is above 1 is most likely a percentage."""

MetricName = Annotated[str, AfterValidator(name_of)]


class Policy(BaseModel):
    """The checks of a gate and their limits. Scores and margins are fractions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: Fraction = Field(0.01, ge=0, description="loss of the mean that is tolerated")
    metrics: tuple[MetricName, ...] = Field((), description="held to the margin; none: the main one of each task")
    floors: dict[MetricName, Fraction] = Field(
        default_factory=dict, description="by metric, the least score of every cell"
    )
    slices: tuple[str, ...] = Field((), description="tags whose values are held to a margin each")
    slice_margin: Annotated[Fraction, Field(ge=0)] | None = Field(None, description="of a slice; none: the margin")
    must_pass: tuple[str, ...] = Field((), description="queries whose answer must be among the first k")
    latency_ratio: PositiveFloat | None = Field(None, description="new over old median latency, at most")
    memory_ratio: PositiveFloat | None = Field(None, description="new over old peak memory, at most")
    measure_queries: PositiveInt = Field(50, description="that are timed at most, for the two ratios")
    measure_seconds: PositiveFloat = Field(5.0, description="that a stage is timed for, about")
    cosine: float = Field(0.999, ge=-1, le=1, description="of canary texts' vectors then and now, at least")
    neighbours: float = Field(0.9, ge=0, le=1, description="share of canaries' neighbours that stay, at least")
    drift: Literal["fail", "warn", "off"] = Field("fail", description="what a change of canaries' vectors is")
    confidence: Fraction = Field(0.95, gt=0, lt=1, description="of all intervals together")


def read_policy(given: str | Path | Mapping[str, Any] | None, **more: Any) -> Policy:
    """Return a policy from a YAML file or a mapping, with `more` over it.

    Raises ConfigError for a file that cannot be read, an unknown key or a bad value.
    """
    content: Any = {}
    if isinstance(given, Mapping):
        content = dict(given)
    elif given is not None:
        try:
            content = yaml.safe_load(Path(given).read_text(encoding="utf-8")) or {}
        except UNREADABLE_YAML as error:
            raise ConfigError(f"cannot read the policy {given}: {error}") from error
        if not isinstance(content, dict):
            raise ConfigError(f"the policy {given} holds a {type(content).__name__}, not keys and values.")
    content = {**content, **{key: value for key, value in more.items() if value is not None}}
    for key in content:
        if key not in Policy.model_fields:
            raise ConfigError(f"unknown key {key!r} in the policy. {did_you_mean(str(key), Policy.model_fields)}")
    try:
        return Policy.model_validate(content)
    except ValidationError as error:
        problems = [
            f"{'.'.join(map(str, each['loc']))}: {each['msg'].removeprefix('Value error, ')}, got {each['input']!r}"
            for each in error.errors()
        ]
        raise ConfigError("the policy cannot be used: " + "; ".join(problems)) from error
