"""`bert:NAME`: any transformers encoder, its token vectors pooled into one."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalkit.compute import Compute
from evalkit.contracts import Advance, Setting
from evalkit.errors import SpecError
from evalkit.models._dense import LateChunks, not_mean, refuse_beyond
from evalkit.models.registry.families import HUB, Family
from evalkit.models.registry.options import Pooling, TransformerOptions, dtype_setting
from evalkit.models.weights import locate, weights_hash
from evalkit.terms import Role
from evalkit.types import IntArray

if TYPE_CHECKING:
    from evalkit.models._transformer import Network


class BertOptions(TransformerOptions):
    """Options of `bert`: any transformers encoder."""

    pooling: Pooling = Field("mean", description="how token vectors become one")
    layer: int = Field(-1, description="hidden layer pooled: -1 the last, 0 the embeddings")


def load_bert(name: str, options: BertOptions, compute: Compute) -> "Bert":
    """Find a transformers encoder. Raises ModelNotFoundError if it cannot be found."""
    return Bert(locate(name, options.revision, compute), options, compute)


class Bert(LateChunks):
    """A transformers encoder with masked pooling over one of its layers; loaded when it first has to encode."""

    options: BertOptions

    def __init__(self, folder: Path, options: BertOptions, compute: Compute) -> None:
        self._folder = folder
        self._compute = compute.with_dtype(options.dtype)
        facts = {
            "family": "bert",
            "weights": weights_hash(folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
        }
        super().__init__(options, facts)

    @cached_property
    def _network(self) -> "Network":
        from evalkit.models._transformer import Network

        network = Network(self._folder, "AutoModel", self.options.max_length, self._compute)
        layers = network.config.num_hidden_layers
        if not -layers - 1 <= self.options.layer <= layers:
            raise SpecError(
                f"layer={self.options.layer}: the model has {layers} layers; allowed are {-layers - 1} to {layers} "
                "(0 is the embeddings, -1 the last layer)."
            )
        if self.options.dim is not None:
            refuse_beyond(self.options.dim, network.width(self.options.layer))
        return network

    def raw(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        """Return pooled token vectors: float32 of shape (n_texts, hidden size)."""
        if self.reads_parts(texts):
            return self._late(texts, prompt, advance)
        from evalkit.models._transformer import pool

        layer = self.options.layer
        vectors: NDArray[np.float32] | None = None
        prompted = [prompt + text for text in texts]
        for rows, mask, output in self._network.run(prompted, output_hidden_states=layer != -1):
            hidden = output.last_hidden_state if layer == -1 else output.hidden_states[layer]
            pooled = pool(hidden.float(), mask, self.options.pooling).cpu().numpy()
            if vectors is None:  # of some networks the last layer is wider or narrower than the others
                vectors = np.empty((len(texts), pooled.shape[1]), dtype=np.float32)
            vectors[rows] = pooled
            advance(len(rows))
        return np.empty((0, self._network.width(layer)), dtype=np.float32) if vectors is None else vectors

    def refuse_other_pooling(self) -> None:
        """Raise ConfigError if vectors are not the mean of those of tokens that know their place in the text."""
        if self.options.pooling != "mean" or not self._network.tokenizer.is_fast:
            raise not_mean(self.options.pooling)

    def _late(self, texts: Sequence[str], prompt: str, advance: Advance) -> NDArray[np.float32]:
        from evalkit.models._late import late_vectors

        network, layer = self._network, self.options.layer

        def hidden(features: Mapping[str, Any]) -> Any:
            output = network.model(**features, output_hidden_states=layer != -1)
            return output.last_hidden_state if layer == -1 else output.hidden_states[layer]

        parts = [self.parts[text] for text in texts]
        return late_vectors(parts, prompt, network.tokenizer, hidden, network.max_length, self._compute, advance)

    def own_settings(self) -> Mapping[str, Setting]:
        """Return the length that tokenizer and positions allow, and the dtype computed in."""
        length = Setting(self.max_tokens, "tokenizer_config.json, config.json")
        return {"max_length": length, "dtype": dtype_setting(self._compute, self.options.dtype)}

    @property
    def max_tokens(self) -> int:
        """Tokens read of a text."""
        return self._network.max_length

    def tokens(self, texts: Sequence[str], role: Role) -> IntArray:
        """Count the tokens of each text if nothing were cut off: int64 of shape (n_texts,)."""
        from evalkit.models._transformer import count_tokens

        return count_tokens(self._network.tokenizer, [self.prompt(role) + text for text in texts])

    def unknown_tokens(self, texts: Sequence[str], role: Role) -> tuple[IntArray, IntArray] | None:
        """Count each text's tokens, and the unknown among them; see `contracts.CountsUnknown`."""
        from evalkit.models._transformer import count_unknown

        return count_unknown(self._network.tokenizer, texts)


FAMILIES = (
    Family(
        "bert", frozenset({"embedder"}), BertOptions, load_bert, "any transformers encoder, pooled",
        HUB, "hub", "transformers", "torch",
    ),
)  # fmt: skip
