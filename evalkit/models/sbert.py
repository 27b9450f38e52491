"""`sbert:NAME`: any sentence-transformers checkpoint, with its own modules, prompts and maximum length."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import Pooling

from evalkit.compute import Compute
from evalkit.contracts import Advance
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models.batching import Features, batches, inference
from evalkit.models.dense import DenseEmbedder
from evalkit.models.weights import locate, quiet_loading, weights_hash
from evalkit.registry.options import SbertOptions
from evalkit.types import SIMILARITIES, Role, Similarity

# The names that checkpoints use for the prompt of each role, in the order sentence-transformers tries them.
PROMPT_NAMES: dict[Role, tuple[str, ...]] = {
    "query": ("query",),
    "document": ("document", "passage", "corpus"),
    "sentence": (),
}


def load_sbert(name: str, options: SbertOptions, compute: Compute) -> "Sbert":
    """Load a sentence-transformers checkpoint. Raises ModelNotFoundError if it cannot be found or read."""
    return Sbert(locate(name, options.revision), options, compute)


class Sbert(DenseEmbedder):
    """A sentence-transformers model; its batching is ours, its modules are its own."""

    options: SbertOptions

    def __init__(self, folder: Path, options: SbertOptions, compute: Compute) -> None:
        self._compute = Compute(compute.device, options.dtype or compute.dtype)
        facts = {"family": "sbert", "weights": weights_hash(folder), "compute_dtype": self._compute.dtype}
        super().__init__(options, facts)
        self._model = _load(folder, self._compute)
        if options.max_length is not None:
            self._model.max_seq_length = options.max_length
        if options.pooling is not None:
            _replace_pooling(self._model, options)
        if options.normalize is False:
            _drop_normalize(self._model)

    @property
    def similarity(self) -> Similarity:
        """The option, else the checkpoint's own similarity, else cosine."""
        own = self._model.similarity_fn_name
        known: dict[str, Similarity] = {similarity: similarity for similarity in SIMILARITIES}
        return self.options.similarity or known.get(str(own), "cosine")

    def default_prompt(self, role: Role) -> str:
        """The checkpoint's prompt for this role, else its default prompt."""
        prompts = self._model.prompts
        names = [*PROMPT_NAMES[role], self._model.default_prompt_name]
        return next((prompt for name in names if name and (prompt := prompts.get(name))), "")

    def raw(self, texts: Sequence[str], advance: Advance) -> NDArray[np.float32]:
        """Sentence vectors: float32 of shape (n_texts, dim)."""
        dim = self._model.get_embedding_dimension()
        vectors = np.empty((len(texts), dim or 0), dtype=np.float32)
        if not texts:
            return vectors
        if not isinstance(self._model[0], Transformer):
            advance(len(texts))
            return self._model.encode(list(texts), show_progress_bar=False).astype(np.float32)
        with torch.inference_mode(), inference(self._compute):
            for rows, features in batches(texts, self._tokenize, self._compute):
                vectors[rows] = self._model(features)["sentence_embedding"].float().cpu().numpy()
                advance(len(rows))
        return vectors

    def _tokenize(self, texts: list[str]) -> Features:
        return self._model.preprocess(texts)


def _load(folder: Path, compute: Compute) -> SentenceTransformer:
    try:
        with quiet_loading():
            model = SentenceTransformer(
                str(folder),
                device=compute.device,
                local_files_only=True,
                model_kwargs={"dtype": torch.float32, "use_safetensors": True},
            )
    except (OSError, ValueError, KeyError) as error:
        raise ModelNotFoundError(f"{folder} holds no model that sentence-transformers can read: {error}") from error
    return model.eval()


def _replace_pooling(model: SentenceTransformer, options: SbertOptions) -> None:
    for name, module in model.named_children():
        if isinstance(module, Pooling):
            setattr(model, name, Pooling(module.embedding_dimension, pooling_mode=options.pooling))
            return
    raise SpecError(f"pooling={options.pooling}: this checkpoint has no pooling module to replace; leave it out.")


def _drop_normalize(model: SentenceTransformer) -> None:
    for name, module in list(model.named_children()):
        if isinstance(module, Normalize):
            delattr(model, name)
