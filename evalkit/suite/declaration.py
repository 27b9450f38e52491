"""task.yaml: what a task declares about itself."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from evalkit.errors import ConfigError, did_you_mean

DECLARATION = "task.yaml"
UNREADABLE_YAML = (OSError, ValueError, RecursionError, yaml.YAMLError)
"""What reading a YAML file may raise; ValueError for what is not UTF-8, and for dates and numbers that cannot be."""


class _Declaration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    description: str = ""
    licence: str = ""
    language: str = ""
    splits: Annotated[dict[str, str], Field(min_length=1)]


class StsDeclaration(_Declaration):
    """A task of sentence pairs: `splits` names a file of pairs each."""

    type: Literal["sts"]
    score_range: tuple[FiniteFloat, FiniteFloat] | None = None

    @field_validator("score_range")
    @classmethod
    def _ascends(cls, bounds: tuple[float, float] | None) -> tuple[float, float] | None:
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError("the first number must be below the second")
        return bounds


class RetrievalDeclaration(_Declaration):
    """A task of queries over a corpus: `splits` names a file of qrels each.

    `corpus` and `queries` name a file or a folder; None: what is called so. With `ignore_identical_ids` a document
    with the id of the query is no result of it; None: where it has the same text.
    """

    type: Literal["retrieval"]
    corpus: str | None = None
    queries: str | None = None
    ignore_identical_ids: bool | None = None


_BY_TYPE: dict[str, type[StsDeclaration | RetrievalDeclaration]] = {
    "sts": StsDeclaration,
    "retrieval": RetrievalDeclaration,
}


def read_declaration(path: Path) -> StsDeclaration | RetrievalDeclaration:
    """Read and check a task.yaml.

    Raises ConfigError if it is not YAML, or has a key or a value that a task of its type cannot have.
    """
    try:
        declared = yaml.safe_load(path.read_bytes())
    except UNREADABLE_YAML as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(declared, dict):
        raise ConfigError(f"{path}: must hold keys and values: type, splits, ...")
    kind = str(declared.get("type"))
    if kind not in _BY_TYPE:
        raise ConfigError(f"{path}: unknown type {kind!r}. {did_you_mean(kind, _BY_TYPE)}")
    model = _BY_TYPE[kind]
    try:
        return model.model_validate(declared)
    except ValidationError as error:
        told = [_told(".".join(map(str, e["loc"])), e["type"], e["msg"], model) for e in error.errors()]
        raise ConfigError(f"{path}: " + " ".join(told)) from error


def _told(key: str, error_type: str, message: str, model: type[BaseModel]) -> str:
    if error_type == "extra_forbidden":
        return f"unknown key {key!r}. {did_you_mean(key, model.model_fields)}"
    return f"key {key!r}: {message}."
