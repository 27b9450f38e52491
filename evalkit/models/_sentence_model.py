"""A model of sentence-transformers, run as its checkpoint asks: in batches of our own, or by the library's call.

Imports torch.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers.base.modules import Router, Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.modules.tokenizer import WordTokenizer
from sentence_transformers.sparse_encoder.modules import SparseStaticEmbedding
from sentence_transformers.util import batch_to_device, select_max_active_dims
from torch import Tensor, nn

from evalkit.compute import Compute
from evalkit.contracts import Advance, Coverage
from evalkit.errors import ModelNotFoundError, SpecError
from evalkit.models._batching import LONG, SHORT, Text, forward_batches, padding_changes_nothing
from evalkit.models._checkpoint import Checkpoint
from evalkit.models._late import late_vectors
from evalkit.models._transformer import allowed_length, count_tokens, count_unknown
from evalkit.models.registry.options import Pooling
from evalkit.terms import ROLES, Role
from evalkit.types import IntArray, Part

ModelType = Literal["SentenceTransformer", "SparseEncoder", "CrossEncoder"]

TASKS: dict[Role, str | None] = {"query": "query", "document": "document", "sentence": None}
"""What sentence-transformers calls a role; a sentence of a symmetric pair has no name there."""
CALLS: dict[Role, str] = {"query": "encode_query", "document": "encode_document", "sentence": "encode"}
OUTPUT = {
    "SentenceTransformer": "sentence_embedding",
    "SparseEncoder": "sentence_embedding",
    "CrossEncoder": "scores",
}
TEXTS_PER_CALL, BATCH_SIZE = 256, 32
"""Texts that the library is given at once, so that progress is seen; and of them in a batch: its own number."""
KEEPS_ORDER = (nn.Identity, nn.Sigmoid, nn.Tanh, nn.LogSigmoid, nn.Softplus, nn.Softsign)
"""Functions that rise everywhere: what is applied last and is one of these changes no ranking."""


class SentenceModel:
    """A loaded model of sentence-transformers; of each text it gives what the library's own calls give of it alone.

    Texts are read in our batches where the checkpoint allows it (`Checkpoint.batched`). Raises ModelNotFoundError if
    the checkpoint cannot be read or reads no text, SpecError if `max_length` is more than a network has positions
    for.
    """

    def __init__(
        self, checkpoint: Checkpoint, model_type: ModelType, compute: Compute, max_length: int | None = None
    ) -> None:
        self.loaded: Any = checkpoint.load(model_type, compute)
        self._checkpoint, self._model_type, self._compute = checkpoint, model_type, compute
        self._output, self._pairs = OUTPUT[model_type], model_type == "CrossEncoder"
        self._batch_sizes: dict[Role, int] = {}
        self.batched = checkpoint.batched
        if not self.loaded.supports("text"):
            reads = ", ".join(map(str, self.loaded.modalities))
            raise ModelNotFoundError(f"{checkpoint.folder} reads {reads}, and no text. Choose a model of texts.")
        if max_length is not None:
            self._limit(max_length)
        else:
            self._stay_within_positions()

    def embeddings(self, texts: Sequence[str], role: Role, prompt: str) -> Iterator[tuple[IntArray, Tensor]]:
        """Yield rows of `texts`, and the vectors of these: float32 of shape (batch, dim).

        Raises ModelNotFoundError for a role that the checkpoint has no route for.
        """
        self._reader(role)
        if self.batched:
            return self._forward(texts, role, prompt)
        call = getattr(self.loaded, CALLS[role])
        how = {"convert_to_tensor": True} | (
            {"convert_to_sparse_tensor": False} if self._model_type == "SparseEncoder" else {}
        )
        return self._called(texts, role, partial(call, prompt=prompt, **how))

    @property
    def pools_the_mean(self) -> bool:
        """Whether a transformer's token vectors are averaged, and nothing but the mean is read by what follows."""
        first, second = [*self.loaded, None, None][:2]
        return (
            isinstance(first, Transformer)
            and "message" not in first.modality_config
            and isinstance(second, modules.Pooling)
            and second.pooling_mode == "mean"
            and first.tokenizer.is_fast
        )

    def late(self, parts: Sequence[Part], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return vectors of parts that are read in their wholes: float32 of shape (n_parts, dim)."""
        reader, _, *rest = self.loaded
        reader.unpad_inputs = False

        def hidden(features: Mapping[str, Tensor]) -> Tensor:
            vectors: Tensor = reader(dict(features))["token_embeddings"]
            return vectors

        limit = self.max_tokens("document") or allowed_length(reader.tokenizer, reader.auto_model, None)
        pooled = late_vectors(parts, prompt, reader.tokenizer, hidden, limit, self._compute, advance)
        features = {"sentence_embedding": torch.from_numpy(pooled).to(self.loaded.device)}
        with torch.inference_mode():
            for module in rest:
                features = module(features)
        return features["sentence_embedding"].float().cpu().numpy()

    def scores(self, pairs: Sequence[tuple[str, str]]) -> Iterator[tuple[IntArray, Tensor]]:
        """Yield rows of `pairs`, and their scores: float32 of shape (batch,).

        Those of the library's `predict`, up to `last`.
        """
        if self.batched:
            parts = self._forward(pairs, "sentence", self._checkpoint.prompt("sentence"))
            return ((rows, self.last(scores).reshape(len(rows))) for rows, scores in parts)
        call = partial(self.loaded.predict, activation_fn=self.last, convert_to_tensor=True)
        return self._called(pairs, "sentence", call)

    @property
    def last(self) -> Callable[[Tensor], Tensor]:
        """What scores go through last: as the checkpoint says, but not what changes no ranking.

        In float32 a sigmoid makes ties of what differs.
        """
        own: Callable[[Tensor], Tensor] = self.loaded.activation_fn
        return nn.Identity() if isinstance(own, KEEPS_ORDER) else own

    def check_pairs(self) -> None:
        """Raise ModelNotFoundError for a language model that is not shown pairs, or has no words for yes and no."""
        scorer = self.loaded[-1]
        if not isinstance(scorer, LogitScore):
            return
        folder, problem = self._checkpoint.folder, None
        if not self._checkpoint.modules and "message" not in self.loaded[0].modality_config:
            problem = "it has no chat template, which would ask whether the document answers the query"
        elif scorer.true_token_id == scorer.false_token_id:
            problem = "its tokenizer has no words for yes and no"
        else:
            try:
                self.loaded.predict([(SHORT, LONG)], show_progress_bar=False)
            except ValueError as error:
                problem = str(error).partition("\n")[0]
        if problem is not None:
            kind = ", ".join(self._checkpoint.architectures)
            raise ModelNotFoundError(
                f"{folder} is a language model ({kind}); how much it prefers yes to no would be the score, but "
                f"{problem}. Choose a checkpoint saved for that by sentence-transformers (a CrossEncoder with a "
                "LogitScore module and a template for pairs), or save it so."
            )

    def max_tokens(self, role: Role) -> int | None:
        """Count the tokens read of a text; None: all of them."""
        reader = self._reader(role)
        limit = getattr(reader, f"{role}_length", None) or getattr(reader, "max_seq_length", None)
        return None if limit is None or limit == float("inf") else int(limit)

    def tokens(self, texts: Sequence[Text], role: Role, prompt: str) -> IntArray:
        """Count the tokens of each text (or pair) after the prompt if nothing were cut off: int64 of shape
        (n_texts,).
        """
        reader = self._reader(role)
        if isinstance(reader, Transformer) and "message" not in reader.modality_config:
            sides = zip(*((text,) if isinstance(text, str) else text for text in texts), strict=True)
            first, *rest = map(list, sides) if texts else ([],)
            return count_tokens(reader.tokenizer, [prompt + text for text in first], *rest)
        return np.array([_count(reader, text, TASKS[role], prompt) for text in texts], dtype=np.int64)

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        return count_unknown(getattr(self._reader(role), "tokenizer", None), texts)

    def coverage(self, texts: Sequence[str]) -> Coverage:
        """Count the words of texts, and those that a table of words does not know, or leaves out."""
        tokenizer = self._reader("document").tokenizer
        if isinstance(tokenizer, WordTokenizer):
            counts = [(len(text.split()), len(tokenizer.tokenize(text))) for text in texts]
            return Coverage(sum(words for words, _ in counts), sum(max(0, words - known) for words, known in counts))
        tokens, unknown = count_unknown(tokenizer, texts) or (
            self.tokens(texts, "document", ""),
            np.zeros(0, np.int64),
        )
        return Coverage(int(tokens.sum()), int(unknown.sum()))

    def drop_scaling(self) -> None:
        """Leave out the last module, which scales to length 1; of a router, the last of each route."""
        last = self.loaded[-1]
        ends: list[Any] = [*last.sub_modules.values()] if isinstance(last, Router) else [self.loaded]
        for steps in ends:
            del steps[-1]

    def replace_pooling(self, how: Pooling) -> None:
        """Pool token vectors in this way. Raises SpecError if the model pools none, or counts on their number."""
        pooled = [
            (steps, place, module)
            for steps in self.loaded.modules()
            if isinstance(steps, nn.Sequential)
            for place, module in enumerate(steps)
            if isinstance(module, modules.Pooling)
        ]
        if not pooled:
            raise SpecError(f"pooling={how}: this checkpoint has no pooling module to replace; leave it out.")
        for steps, place, module in pooled:
            made = modules.Pooling(module.embedding_dimension, pooling_mode=how, include_prompt=module.include_prompt)
            if made.pooling_output_dimension != module.pooling_output_dimension and place < len(steps) - 1:
                raise SpecError(
                    f"pooling={how} gives {made.pooling_output_dimension} dimensions, but what follows in this "
                    f"checkpoint reads the {module.pooling_output_dimension} of its own pooling; leave it out."
                )
            steps[place] = made

    def _reader(self, role: Role) -> Any:
        """Return the module that reads texts of this role: the first, or the first on its route."""
        first = self.loaded[0]
        if not isinstance(first, Router):
            return first
        routes: Any = first.sub_modules
        try:
            return routes[first._resolve_route(task=TASKS[role], modality="text")][0]
        except ValueError as error:
            raise ModelNotFoundError(
                f"{self._checkpoint.folder} has the routes {', '.join(routes)}, and none for what is read as a "
                f"{role}. Run it on tasks of the kind that it was made for, or save it with the routes query and "
                "document."
            ) from error

    @property
    def _transformers(self) -> list[Any]:
        """The transformers that read texts, each once."""
        readers: dict[int, Any] = {}
        for role in ROLES:
            with suppress(ModelNotFoundError):  # told when texts of that role are read
                readers.setdefault(id(reader := self._reader(role)), reader)
        return [reader for reader in readers.values() if isinstance(reader, Transformer)]

    def _stay_within_positions(self) -> None:
        """Read no further than there are positions: the library counts two too many of RoBERTa and its kin."""
        for reader in self._transformers:
            if reader.max_seq_length is not None:
                most = allowed_length(reader.tokenizer, reader.auto_model, None)
                reader.max_seq_length = min(reader.max_seq_length, most)

    def _limit(self, max_length: int) -> None:
        if not self._transformers:
            raise SpecError(f"max_length={max_length}: this checkpoint runs no transformer; leave it out.")
        for reader in self._transformers:
            reader.max_seq_length = allowed_length(reader.tokenizer, reader.auto_model, max_length)
            reader.query_length, reader.document_length = (
                None if length is None else reader.max_seq_length
                for length in (reader.query_length, reader.document_length)
            )

    def _forward(self, texts: Sequence[Text], role: Role, prompt: str) -> Iterator[tuple[IntArray, Tensor]]:
        task, most = TASKS[role], getattr(self.loaded, "max_active_dims", None)
        self.loaded[0].unpad_inputs = False  # our batches find a text's tokens by the mask
        tokenize: Any = partial(self.loaded.preprocess, prompt=prompt or None, task=task)
        forward = partial(self.loaded, task=task, **({} if most is None else {"max_active_dims": most}))
        for rows, _, output in forward_batches(texts, tokenize, forward, self._compute, self._padded):
            values = output[self._output]
            if most is not None:
                values = select_max_active_dims(values, max_active_dims=most)
            yield rows, values.float()

    @cached_property
    def _padded(self) -> bool:
        """Whether batches may be padded. Asked for when all that changes the model is done."""
        return ignores_padding(self.loaded, self._output, self._compute, self._pairs)

    def _called(
        self, texts: Sequence[Text], role: Role, call: Callable[..., Tensor]
    ) -> Iterator[tuple[IntArray, Tensor]]:
        if role not in self._batch_sizes:  # tried once, since single queries are timed
            self._batch_sizes[role] = batch_size(call, self._compute, self._pairs)
        size = self._batch_sizes[role]
        for start in range(0, len(texts), TEXTS_PER_CALL):
            part = list(texts[start : start + TEXTS_PER_CALL])
            vectors: Tensor = fitting(call, part, size)
            yield np.arange(start, start + len(part)), vectors.float()


def ignores_padding(model: Any, output: str, compute: Compute, pairs: bool = False) -> bool:
    """Try whether padding changes nothing in what a model of sentence-transformers gives as `output`."""

    def first_of(texts: list[Any]) -> Tensor:
        features = model.preprocess(texts, task="document")
        read = model(batch_to_device(features, model.device), task="document")
        values: Tensor = read[output][0]
        return values[read["attention_mask"][0].bool()] if values.ndim == 2 else values  # token vectors

    return padding_changes_nothing(first_of, compute, pairs)


def _count(reader: Any, text: Text, task: str | None, prompt: str) -> int:
    """Count the tokens of a text, or of a pair in a chat, if nothing were cut off."""
    if isinstance(reader.tokenizer, WordTokenizer):
        return len(reader.tokenizer.tokenize(f"{prompt}{text}"))
    if isinstance(reader, SparseStaticEmbedding):
        return len(reader.tokenizer(f"{prompt}{text}", add_special_tokens=False, truncation=False)["input_ids"])
    whole = {"processing_kwargs": {"text": {"truncation": False}}} if isinstance(reader, Transformer) else {}
    return int(reader.preprocess([text], prompt=prompt or None, task=task, **whole)["input_ids"].numel())


def batch_size(call: Callable[..., Any], compute: Compute, pairs: bool = False) -> int:
    """Try how many texts a call of the library may read at once: one, where padding changes what it gives."""

    def first_of(tried: list[Any]) -> Tensor:
        first: Tensor = call(tried, batch_size=len(tried), show_progress_bar=False)[0]
        return first

    return BATCH_SIZE if padding_changes_nothing(first_of, compute, pairs) else 1


def fitting(call: Callable[..., Any], texts: list[Any], size: int) -> Any:
    """Call in batches of this size, or of fewer texts where they do not fit the device's memory."""
    while True:
        try:
            return call(texts, batch_size=size, show_progress_bar=False)
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
