"""What models that score pairs with a transformer share: where they are, how they compute, what they are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field, PositiveInt

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Setting
from evalkit.models.checkpoint import LENGTH_SAID_BY, MODULES, Checkpoint
from evalkit.models.registry.options import Options
from evalkit.models.settings import dtype_setting
from evalkit.models.weights import weights_hash


class PairOptions(Options):
    """Options of rerankers that run a transformer."""

    max_length: PositiveInt | None = Field(None, description="tokens kept; unset: what the model allows")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class PairModel(ABC):
    """Base of rerankers that run a transformer: a family writes `score`, and loads its network when it first does."""

    family: ClassVar[str]
    scores_alone = True

    def __init__(self, checkpoint: Checkpoint, options: PairOptions, compute: Compute) -> None:
        self.checkpoint = checkpoint
        self._options = options
        self._compute = compute.with_dtype(options.dtype)
        # By name, since earlier versions left out modules, prompts and lengths, and stored scores would be theirs.
        modules = {"modules": [module.name for module in checkpoint.modules]} if checkpoint.modules else {}
        self.identity: Mapping[str, object] = {
            "family": self.family,
            "weights": weights_hash(checkpoint.folder, compute.trust_remote_code),
            "compute_dtype": self._compute.dtype,
            "max_length": options.max_length,
            **modules,
        }

    @property
    @abstractmethod
    def max_tokens(self) -> int | None:
        """Tokens read of what is scored; None: all of them."""

    def own_settings(self) -> Mapping[str, Setting]:
        """What the checkpoint's files say beside its modules and length, by name."""
        return {}

    @property
    def settings(self) -> Mapping[str, Setting]:
        """How the model is run; see `contracts.Described`."""
        modules = [module.name for module in self.checkpoint.modules]
        length = LENGTH_SAID_BY if self._options.max_length is None else "option"
        return {
            **({"modules": Setting(modules, MODULES)} if modules else {}),
            "max_length": Setting(self.max_tokens, length),
            "dtype": dtype_setting(self._compute, self._options.dtype),
            **self.own_settings(),
        }
