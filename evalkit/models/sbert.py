"""`sbert:NAME`: any sentence-transformers checkpoint, with its own modules, prompts and maximum length."""

import json
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evalkit.compute import Compute
from evalkit.contracts import Advance
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.dense import DenseEmbedder
from evalkit.models.weights import locate, quiet_loading, weights_hash
from evalkit.registry.options import SbertOptions
from evalkit.terms import SIMILARITIES, Role, Similarity

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# The names that checkpoints use for the prompt of each role, in the order sentence-transformers tries them.
PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "sentence": (),
}


def load_sbert(name: str, options: SbertOptions, compute: Compute) -> "Sbert":
    """Find a sentence-transformers checkpoint. Raises ModelNotFoundError if it cannot be found."""
    return Sbert(locate(name, options.revision), options, compute)


class Sbert(DenseEmbedder):
    """A sentence-transformers model: its modules are its own, batches and scaling to length 1 are ours.

    Loaded when it first has to encode; prompts, similarity and scaling are read from its configuration.
    """

    options: SbertOptions

    def __init__(self, folder: Path, options: SbertOptions, compute: Compute) -> None:
        self._folder = folder
        self._compute = Compute(compute.device, options.dtype or compute.dtype)
        facts = {"family": "sbert", "weights": weights_hash(folder), "compute_dtype": self._compute.dtype}
        super().__init__(options, facts)
        config = _read_json(folder / "config_sentence_transformers.json", {})
        self._prompts: dict[str, str] = config.get("prompts") or {}
        self._default_prompt_name: str | None = config.get("default_prompt_name")
        self._own_similarity: str | None = config.get("similarity_fn_name")
        self._module_types = [module["type"] for module in _read_json(folder / "modules.json", [])]

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else cosine."""
        own = next((known for known in SIMILARITIES if known == self._own_similarity), None)
        return self.options.similarity or own or "cosine"

    def default_prompt(self, role: Role) -> str:
        """The checkpoint's prompt for this role, which may be empty; its default prompt only if it has none.

        A prompt under an older name counts though the newer name is there, empty, as libraries save it unasked.
        """
        own = [self._prompts[name] for name in PROMPT_NAMES[role] if name in self._prompts]
        if own:
            return next(filter(None, own), "")
        return self._prompts.get(self._default_prompt_name or "", "")

    def default_normalize(self) -> bool:
        """Whether the checkpoint ends with a module that scales to length 1."""
        return bool(self._module_types) and self._module_types[-1].endswith("Normalize")

    @cached_property
    def _model(self) -> "SentenceTransformer":
        model = _load(self._folder, self._compute)
        if self.default_normalize():
            model.pop(len(model) - 1)
        if self.options.max_length is not None:
            _limit_length(model, self.options.max_length)
        if self.options.pooling is not None:
            _replace_pooling(model, self.options)
        return model

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Sentence vectors, not scaled: float32 of shape (n_texts, full dim)."""
        from sentence_transformers.base.modules import Transformer

        from evalkit.models.batching import forward_batches

        vectors = np.empty((len(texts), self._model.get_embedding_dimension() or 0), dtype=np.float32)
        if texts and not isinstance(self._model[0], Transformer):
            advance(len(texts))
            return self._model.encode(list(texts), prompt=prompt, show_progress_bar=False).astype(np.float32)
        tokenize: Any = partial(self._model.preprocess, prompt=prompt or None)
        for rows, _, output in forward_batches(texts, tokenize, self._model, self._compute):
            vectors[rows] = output["sentence_embedding"].float().cpu().numpy()
            advance(len(rows))
        return vectors


def _read_json(path: Path, default: Any) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default


def _load(folder: Path, compute: Compute) -> "SentenceTransformer":
    import torch
    from sentence_transformers import SentenceTransformer

    from evalkit.models.on_cpu import tune_for_cpu
    from evalkit.models.on_gpu import tune_for_gpu

    try:
        with quiet_loading():
            model = SentenceTransformer(
                str(folder),
                device=compute.device,
                local_files_only=True,
                model_kwargs={"dtype": getattr(torch, compute.dtype), "use_safetensors": True},
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelNotFoundError(f"{folder} holds no model that sentence-transformers can read: {error}") from error
    model.eval()
    if compute.device == "cpu":
        tune_for_cpu(model)
    elif compute.device == "cuda":
        tune_for_gpu(model)
    return model


def _limit_length(model: "SentenceTransformer", max_length: int) -> None:
    from sentence_transformers.base.modules import Transformer

    from evalkit.models.transformer import allowed_length

    if not isinstance(model[0], Transformer):
        raise SpecError(f"max_length={max_length}: this checkpoint runs no transformer; leave it out.")
    model.max_seq_length = allowed_length(model.tokenizer, model[0].auto_model, max_length)


def _replace_pooling(model: "SentenceTransformer", options: SbertOptions) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    for name, module in model.named_children():
        if isinstance(module, Pooling):
            setattr(model, name, Pooling(module.embedding_dimension, pooling_mode=options.pooling))
            return
    raise SpecError(f"pooling={options.pooling}: this checkpoint has no pooling module to replace; leave it out.")
