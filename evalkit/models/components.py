"""What a LlamaIndex component is, as plain data: everything known that changes its output, and no secret."""

import inspect
import sys
from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any
from uuid import uuid4

from pydantic import BaseModel, SecretBytes, SecretStr

from evalkit.models.weights import file_hash, weights_hash
from evalkit.secrets import hide, is_secret, public_url

LIMITS = ("top_n", "top_k")
"""Fields that cut the list of nodes; they are set to its length for each call."""
RUNTIME = frozenset(
    {
        "callback_manager", "embed_batch_size", "num_workers", "rate_limiter", "embeddings_cache", "cache_folder",
        "show_progress_bar", "verbose", "timeout", "max_retries",
    }
)  # fmt: skip
"""Fields that say how something is computed, not what."""


def describe(component: BaseModel, leave_out: Collection[str] = ()) -> dict[str, object]:
    """Return the component's class, code, fields and private attributes.

    A torch module among them counts by its weights and structure, a folder of weights by its content; code by its
    package's version, or by a hash of the file where no package is installed. Keys and other secrets are left out,
    and so is what `leave_out` names.

    On the safe side: a component that counts its calls in a private number is another one after each call.
    """
    kind = type(component)
    values = {
        name: _plain(value)
        for name, value in _values(component)
        if name not in RUNTIME and name not in leave_out and not is_secret(name)
    }
    return {"class": class_path(kind), "code": _code(kind), "values": values}


def class_path(kind: type) -> str:
    """module.Class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def secrets_of(component: BaseModel) -> set[str]:
    """Return the component's keys, which no message may show."""
    return set(_secrets(dict(_values(component)), False))


def _values(component: BaseModel) -> Iterator[tuple[str, Any]]:
    for name in sorted(type(component).model_fields):
        yield name, getattr(component, name, None)
    for name, value in sorted((component.__pydantic_private__ or {}).items()):
        yield name, value
    for name, value in sorted((component.__pydantic_extra__ or {}).items()):
        yield name, value


def _plain(value: Any) -> object:
    match value:
        case SecretStr() | SecretBytes():
            return None
        case Enum():
            return _plain(value.value)
        case float():
            return value if isfinite(value) else str(value)
        case None | bool() | int():
            return value
        case str() | Path():
            return _plain_text(str(value))
        case BaseModel():
            return describe(value)
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items() if not is_secret(str(key))}
        case list() | tuple():
            return [_plain(each) for each in value]
        case set() | frozenset():
            return sorted(str(_plain(each)) for each in value)
        case FunctionType() | BuiltinFunctionType() | MethodType():
            return f"{value.__module__}.{value.__qualname__}"
        case type():
            return class_path(value)
        case _ if _is_module(value):
            return _module_hash(value)
    return class_path(type(value))


def _plain_text(text: str) -> str:
    folder = Path(text)
    if any((folder / name).is_file() for name in ("config.json", "modules.json")):
        return weights_hash(folder)
    return hide(public_url(text))


def _is_module(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.nn.Module)


def _module_hash(module: Any) -> str:
    """Return SHA-256, in hex, over a torch module's structure and weights."""
    import torch

    total = sha256(repr(module).encode())
    for name, tensor in sorted(module.state_dict().items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        total.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _code(kind: type) -> str:
    """Return the installed package that the class is in, with its version, else a hash of its file."""
    parts = kind.__module__.split(".")
    for end in range(len(parts), 0, -1):
        name = "-".join(parts[:end]).replace("_", "-")
        try:
            return f"{name} {version(name)}"
        except PackageNotFoundError:
            continue
    try:
        file = inspect.getsourcefile(kind)
    except TypeError:  # a class typed in at a prompt
        file = None
    # Code that cannot be read may have changed: nothing computed by it before is taken for its own.
    return file_hash(Path(file)) if file and Path(file).is_file() else uuid4().hex


def _secrets(value: Any, secret: bool) -> Iterator[str]:
    match value:
        case SecretStr() | SecretBytes():
            yield str(value.get_secret_value())
        case str() if secret:
            yield value
        case str() if "@" in value and "://" in value:
            yield value.partition("://")[2].rpartition("@")[0]
        case Mapping():
            for key, each in value.items():
                yield from _secrets(each, secret or is_secret(str(key)))
        case list() | tuple() | set():
            for each in value:
                yield from _secrets(each, secret)
        case BaseModel():
            yield from secrets_of(value)
