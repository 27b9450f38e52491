"""task.yaml: what a task declares about itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import ConfigError, did_you_mean

DECLARATION = "task.yaml"
UNREADABLE_YAML = (OSError, ValueError, RecursionError, yaml.YAMLError)
"""What reading a YAML file may raise; ValueError for what is not UTF-8, and for dates and numbers that cannot be."""


class Declaration(BaseModel):
    """The keys that a task of any kind may have. `type` names the kind, `splits` a file for each split."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: ClassVar[tuple[str, ...]] = ()
    """The keys that name a file or a folder, beside those of the splits."""
    type: str
    name: str = ""
    description: str = ""
    licence: str = ""
    language: str = ""
    splits: Annotated[dict[str, str], Field(min_length=1)]


def read_declaration(path: Path, kinds: Mapping[str, type[Declaration]]) -> Any:
    """Read and check a task.yaml, whose type is one of the kinds.

    Raises ConfigError if it is not YAML, or has a key or a value that a task of its type cannot have.
    """
    try:
        declared = yaml.safe_load(path.read_bytes())
    except UNREADABLE_YAML as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(declared, dict):
        raise ConfigError(f"{path}: must hold keys and values: type, splits, ...")
    kind = str(declared.get("type"))
    if kind not in kinds:
        raise ConfigError(f"{path}: unknown type {kind!r}. {did_you_mean(kind, kinds)}")
    model = kinds[kind]
    try:
        return model.model_validate(declared)
    except ValidationError as error:
        told = [_told(".".join(map(str, e["loc"])), e["type"], e["msg"], model) for e in error.errors()]
        raise ConfigError(f"{path}: " + " ".join(told)) from error


def _told(key: str, error_type: str, message: str, model: type[BaseModel]) -> str:
    if error_type == "extra_forbidden":
        return f"unknown key {key!r}. {did_you_mean(key, model.model_fields)}"
    return f"key {key!r}: {message}."
