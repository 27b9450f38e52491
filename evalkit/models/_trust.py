"""What a model's files may do: neither bring code that is run nor be pickled, unless the user allows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from evalkit.compute import Compute
from evalkit.errors import UntrustedError

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle")
"""Endings of files that torch and others write by pickling, which can run code when they are read."""
LEFT_OUT = ("onnx", "openvino", "coreml")
"""Folders of a model that are never read: copies of it for other runtimes, whose .bin files are no pickles."""


def pickled_weights(folder: Path) -> dict[Path, Path]:
    """Return pickled files of a model that have no safetensors beside them to be read in their place; by place in
    it.
    """
    found = {path.relative_to(folder): path for pattern in PICKLED for path in folder.rglob(pattern)}
    return {
        relative: path
        for relative, path in found.items()
        if relative.parts[0] not in LEFT_OUT and not any(path.parent.glob("*.safetensors"))
    }


def refuse_pickles(folder: Path, compute: Compute) -> None:
    """Raise UntrustedError if a part of a model is pickled, and the user does not allow that."""
    pickled = pickled_weights(folder)
    if pickled and not compute.allow_pickle:
        raise UntrustedError(
            f"{folder}: {', '.join(map(str, sorted(pickled)))} is pickled, and reading a pickle can run code of "
            "whoever made it. Save the model as safetensors; or, if you trust its maker, add --allow-pickle."
        )


def untrusted_code(what: str) -> UntrustedError:
    """Return the error for a model that would run code of its own."""
    return UntrustedError(
        f"{what} brings code of its own, which would be run. Read that code first; then, if you trust it, add "
        "--trust-remote-code."
    )


@contextmanager
def guarded(compute: Compute, what: str) -> Iterator[None]:
    """While another library loads a model by rules of its own: what the user does not allow is an UntrustedError.

    Libraries may ask for both without being told to, so they are stopped where it happens: where transformers imports
    a module of a model repository, and where torch reads a pickle.
    """
    stops: list[tuple[Any, str, Any]] = []
    if find_spec("transformers") is not None and not compute.trust_remote_code:
        from transformers import dynamic_module_utils

        def refuse_code(*_: object, **__: object) -> NoReturn:
            raise untrusted_code(what)

        stops.append((dynamic_module_utils, "get_class_in_module", refuse_code))
    if find_spec("torch") is not None and not compute.allow_pickle:
        import torch

        def refuse_pickle(file: object, *_: object, **__: object) -> NoReturn:
            raise UntrustedError(
                f"{what} has pickled weights ({file}), and reading a pickle can run code of whoever made it. If you "
                "trust its maker, add --allow-pickle."
            )

        stops.append((torch, "load", refuse_pickle))
    before = [(module, name, getattr(module, name)) for module, name, _ in stops]
    try:
        for module, name, stop in stops:
            setattr(module, name, stop)
        yield
    finally:
        for module, name, own in before:
            setattr(module, name, own)
