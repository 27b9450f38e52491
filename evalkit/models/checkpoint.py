"""What a sentence-transformers checkpoint says of itself, read without loading it; and how one is loaded."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.trust import untrusted_code
from evalkit.models.weights import quiet_loading
from evalkit.terms import SIMILARITIES, Role, Similarity
from evalkit.types import IntArray

# The names that checkpoints use for the prompt of each role, in the order sentence-transformers tries them.
PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "sentence": (),
}


@dataclass(frozen=True)
class Checkpoint:
    """A folder's own settings: those of sentence-transformers, of its modules, and of transformers."""

    folder: Path
    settings: Mapping[str, Any]
    module_types: tuple[str, ...]
    architectures: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> "Checkpoint":
        """Read the settings; what a folder does not have is empty."""
        modules = _read_json(folder / "modules.json", [])
        return cls(
            folder,
            _read_json(folder / "config_sentence_transformers.json", {}),
            tuple(module["type"] for module in modules),
            tuple(_read_json(folder / "config.json", {}).get("architectures") or ()),
        )

    @property
    def similarity(self) -> Similarity | None:
        """The similarity that the checkpoint names, if it is one between two vectors."""
        return next((known for known in SIMILARITIES if known == self.settings.get("similarity_fn_name")), None)

    def prompt(self, role: Role) -> str:
        """The checkpoint's prompt for this role."""
        return role_prompt(self.settings.get("prompts") or {}, self.settings.get("default_prompt_name"), role)

    def load(self, model_class: str, compute: Compute) -> Any:
        """The model, of a class of sentence-transformers; raises ModelNotFoundError if it cannot be read."""
        import sentence_transformers

        with readable(self.folder, "model that sentence-transformers"):
            model = getattr(sentence_transformers, model_class)(
                str(self.folder),
                device=compute.device,
                local_files_only=True,
                trust_remote_code=compute.trust_remote_code,
                model_kwargs=model_arguments(compute),
            )
        return ready(model, compute)


def role_prompt(prompts: Mapping[str, str], default_name: str | None, role: Role) -> str:
    """The prompt for this role among a checkpoint's, which may be empty; its default prompt only if it has none.

    A prompt under an older name counts though the newer name is there, empty, as libraries save it unasked.
    """
    own = [prompts[name] for name in PROMPT_NAMES[role] if name in prompts]
    if own:
        return next(filter(None, own), "")
    return prompts.get(default_name or "", "")


@contextmanager
def readable(folder: Path, reader: str) -> Iterator[None]:
    """Whatever says that there is no such model in a folder is a ModelNotFoundError; for its code, UntrustedError."""
    try:
        with quiet_loading():
            yield
    except (OSError, ValueError, KeyError) as error:
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):  # what both libraries tell to set
            raise untrusted_code(str(folder)) from error
        raise ModelNotFoundError(f"{folder} holds no {reader} can read: {error}") from error


def model_arguments(compute: Compute) -> dict[str, Any]:
    """How transformers is to load the weights: in the dtype asked for, and pickled ones if they are allowed only."""
    import torch

    # None: safetensors where there are any.
    return {"dtype": getattr(torch, compute.dtype), "use_safetensors": None if compute.allow_pickle else True}


def ready(model: Any, compute: Compute) -> Any:
    """The model in evaluation mode, tuned for the device."""
    from evalkit.models.on_cpu import tune_for_cpu
    from evalkit.models.on_gpu import tune_for_gpu

    model.eval()
    if compute.device == "cpu":
        tune_for_cpu(model)
    elif compute.device == "cuda":
        tune_for_gpu(model)
    return model


def limit_length(model: Any, max_length: int) -> None:
    """Let a model keep so many tokens of a text. Raises SpecError if it has fewer positions, or no transformer."""
    from sentence_transformers.base.modules import Transformer

    from evalkit.models.transformer import allowed_length

    if not isinstance(model[0], Transformer):
        raise SpecError(f"max_length={max_length}: this checkpoint runs no transformer; leave it out.")
    model.max_seq_length = allowed_length(model.tokenizer, model[0].auto_model, max_length)


def document_limit(model: Any) -> int | None:
    """Tokens that a model reads of a document; None where it runs no transformer, and reads all of them."""
    transformer = _document_transformer(model)
    limit: int | None = transformer and (transformer.document_length or transformer.max_seq_length)
    return limit


def count_read_tokens(model: Any, texts: Sequence[str], prompt: str) -> IntArray:
    """Tokens of each text after the prompt if nothing were cut off: int64 of shape (n_texts,)."""
    from evalkit.models.transformer import count_tokens

    transformer = _document_transformer(model)
    if transformer is not None:
        return count_tokens(transformer.tokenizer, [prompt + text for text in texts])
    counts = [model.preprocess([text], prompt=prompt or None)["input_ids"].numel() for text in texts]
    return np.array(counts, dtype=np.int64)


def _document_transformer(model: Any) -> Any:
    """The module that reads documents, where it is a transformer; some models read queries by another."""
    from sentence_transformers.base.modules import Router, Transformer

    first: Any = model[0]
    if isinstance(first, Router):
        modules: Any = first.sub_modules["document"]
        first = modules[0]
    return first if isinstance(first, Transformer) else None


def _read_json(path: Path, default: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
