"""A vector a token: late-interaction checkpoints, and other encoders used as one. Imports torch."""

from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any

from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
from torch import Tensor
from torch.nn.functional import normalize

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError
from evalkit.models._batching import forward_batches
from evalkit.models._checkpoint import READS_TEXT, Checkpoint, model_arguments, readable, ready, role_prompt
from evalkit.models._loading import refuse_tokens_beyond
from evalkit.models._sentence_model import TEXTS_PER_CALL, batch_size, fitting, ignores_padding
from evalkit.models._transformer import allowed_length, count_tokens, count_unknown
from evalkit.terms import Role
from evalkit.types import IntArray


class MultiVector:
    """Token vectors of queries and of documents, and the similarity between two such texts.

    A late-interaction checkpoint (sentence-transformers, PyLate, Stanford's ColBERT) brings its projection, markers,
    lengths, and which tokens count. Of any other encoder the last layer's vectors are taken as they are, scaled to
    length 1: sentence-transformers would add an untrained projection. It reads as many tokens as under `sbert:`.
    `max_length` counts tokens of a document, and of a plain encoder's queries too. Raises ModelNotFoundError if the
    folder holds neither, SpecError if `max_length` is more than the model has positions for.
    """

    def __init__(self, checkpoint: Checkpoint, max_length: int | None, compute: Compute) -> None:
        self._compute = compute
        if is_multi_vector(checkpoint):
            self._model = checkpoint.load("MultiVectorEncoder", compute)
            if max_length is not None:
                self._reader.document_length = allowed_length(
                    self._reader.tokenizer, self._reader.auto_model, max_length
                )
        else:
            self._model = _plain(checkpoint, max_length, compute)
        self._scaled = isinstance(self._model[-1], Normalize)
        self.batched = checkpoint.batched

    @cached_property
    def _padded(self) -> bool:
        """Whether batches may be padded."""
        return ignores_padding(self._model, "token_embeddings", self._compute)

    @cached_property
    def _batch_size(self) -> int:
        """Documents that the library reads in a batch."""
        return batch_size(self._model.encode_document, self._compute)

    @property
    def _reader(self) -> Any:
        return self._model[0]

    def queries(self, texts: Sequence[str]) -> list[Tensor]:
        """Return vectors of each query's tokens: float32 of shape (n_tokens, dim)."""
        # Not in our batches: they cut off padding, and expansion puts a query's further tokens there. Each is read
        # alone: beside others its last bits would depend on them, and what is kept of it on the calls before.
        found = self._model.encode_query(list(texts), batch_size=1, show_progress_bar=False)
        return [self._exact(vectors) for vectors in found]

    def documents(self, texts: Sequence[str]) -> Iterator[tuple[int, Tensor]]:
        """Yield each document's row number and its tokens' vectors, float32 of shape (n_tokens, dim), in any
        order.
        """
        if not self.batched:
            for start in range(0, len(texts), TEXTS_PER_CALL):
                part = list(texts[start : start + TEXTS_PER_CALL])
                for row, vectors in enumerate(fitting(self._model.encode_document, part, self._batch_size), start):
                    yield row, self._exact(vectors)
            return
        tokenize: Any = partial(self._model.preprocess, prompt=self.prompt("document") or None, task="document")
        forward = partial(self._model, task="document")
        for rows, _, output in forward_batches(texts, tokenize, forward, self._compute, self._padded):
            masks = output["attention_mask"].bool()
            for row, vectors, mask in zip(rows, output["token_embeddings"], masks, strict=True):
                yield int(row), self._exact(vectors[mask])

    @property
    def document_limit(self) -> int | None:
        """Tokens read of a document; None: all of them."""
        limit: int | None = self._reader.document_length or self._reader.max_seq_length
        return limit

    def count_tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text, markers too, if nothing were cut off: int64 of shape (n_texts,)."""
        prompt = self.prompt(role)
        return count_tokens(self._reader.tokenizer, [prompt + text for text in texts])

    def unknown_tokens(self, texts: Sequence[str]) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return count_unknown(self._reader.tokenizer, texts)

    def prompt(self, role: Role) -> str:
        """Return the text put before each text of this role."""
        return role_prompt(self._model.prompts, self._model.default_prompt_name, role)

    def similarity(self, queries: list[Tensor], documents: list[Tensor]) -> Tensor:
        """Return the library's MaxSim of all queries with all documents: float32 of shape (n_queries,
        n_documents).
        """
        scores: Tensor = self._model.similarity(queries, documents)
        return scores

    def _exact(self, vectors: Tensor) -> Tensor:
        # Scaled again where the model scales: in half precision lengths are off 1 by a thousandth.
        return normalize(vectors.float(), dim=-1) if self._scaled else vectors.float()


def is_multi_vector(checkpoint: Checkpoint) -> bool:
    """Tell whether sentence-transformers reads this as a trained late-interaction model; its own marks for that."""
    settings = checkpoint.settings
    named = checkpoint.model_type in ("MultiVectorEncoder", "ColBERT") or "query_prefix" in settings
    return named or "HF_ColBERT" in checkpoint.architectures


def _plain(checkpoint: Checkpoint, max_length: int | None, compute: Compute) -> Any:
    folder = str(checkpoint.folder)
    with readable(checkpoint.folder, "model that sentence-transformers"):
        if not checkpoint.modules:
            trust = {"trust_remote_code": compute.trust_remote_code}
            weights = {**model_arguments(compute), **trust}
            transformer = Transformer(folder, model_kwargs=weights, processor_kwargs=trust, config_kwargs=trust)
        elif (first := checkpoint.modules[0]).name in READS_TEXT:
            # With the length, the letter case and the tokenizer that its settings name.
            transformer = Transformer.load(
                folder,
                subfolder=first.folder.relative_to(checkpoint.folder).as_posix(),
                local_files_only=True,
                trust_remote_code=compute.trust_remote_code,
                model_kwargs=model_arguments(compute),
            )
        else:
            raise ModelNotFoundError(
                f"{folder} begins with a {first.name}, which gives no one vector a token to compare. Choose a "
                "transformer, or use `sbert:` for one vector a text."
            )
    if transformer.module_output_name != "token_embeddings":
        raise ModelNotFoundError(
            f"{folder} gives {transformer.module_output_name}, and no vector a token. Choose an encoder, or run it "
            "by the family that it was made for: `sbert:`, `splade:` or `ce:`."
        )
    tokenizer: Any = transformer.tokenizer
    refuse_tokens_beyond(checkpoint.folder, tokenizer, transformer.auto_model)
    tokenizer.padding_side = "right"  # so that absolute positions count from a text's first token
    modules = [transformer, MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    model = MultiVectorEncoder(modules=modules, device=compute.device, similarity_fn_name="meanmaxsim")
    model.max_seq_length = allowed_length(tokenizer, transformer.auto_model, max_length)
    return ready(model, compute)
