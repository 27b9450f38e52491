"""What models that score pairs with a transformer share: where they are, how they compute, what they are."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from evalkit.compute import Compute
from evalkit.models.weights import weights_hash
from evalkit.registry.options import PairOptions


class PairModel:
    """Base of rerankers that run a transformer: a family writes `score`, and loads its network when it first does."""

    family: ClassVar[str]

    def __init__(self, folder: Path, options: PairOptions, compute: Compute) -> None:
        self._folder = folder
        self._options = options
        self._compute = compute.with_dtype(options.dtype)
        self.identity: Mapping[str, object] = {
            "family": self.family,
            "weights": weights_hash(folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
            "max_length": options.max_length,
        }
