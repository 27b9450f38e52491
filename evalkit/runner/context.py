"""The context of a run says where it computes, what it keeps and pays, how long it may take, and who listens."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from evalkit.compute import Compute
from evalkit.contracts import Engine
from evalkit.engine import LOCAL
from evalkit.models.registry.reference import ModelRef
from evalkit.progress import Progress
from evalkit.spending import Spending
from evalkit.store import Store


@dataclass(frozen=True)
class RunContext:
    """What all stages of a run share.

    Without a `store` nothing is kept. `time_limit` is in seconds, for loading a model and for each of its cells; None
    sets no limit. `on_loaded` is called with each model that is loaded.
    """

    compute: Compute = field(default_factory=Compute)
    store: Store | None = None
    progress: Progress = field(default_factory=Progress)
    engine: Engine = LOCAL
    time_limit: float | None = None
    spending: Spending = field(default_factory=Spending)
    on_loaded: Callable[[ModelRef, Any], None] | None = None

    def load(self, model: ModelRef) -> Any:
        """Load a model. Raises whatever its loading raises."""
        loaded = model.load(self.compute, self.spending)
        if self.on_loaded is not None:
            self.on_loaded(model, loaded)
        return loaded
