"""Tasks that bring an evaluator of their own, as many of mteb's do: it scores an embedder as a whole."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from evalkit.metrics.metric import Metric
from evalkit.tasks.kinds._kind import Encode, TaskKind
from evalkit.terms import Similarity
from evalkit.types import EvaluatorTask, FloatArray

WHOLE = "all"
"""The id of the one item that such a task has: itself."""


class Evaluator(TaskKind[EvaluatorTask]):
    """Scores that have no items behind them."""

    name = "evaluator"
    title = "Evaluator"
    items = "samples"

    def facts(self, task: EvaluatorTask) -> dict[str, Any]:
        """Count the samples, and say what mteb calls the task's type."""
        return {"kind": task.kind, "samples": task.samples}

    def ids(self, task: EvaluatorTask) -> Sequence[str]:
        """Name the task as a whole."""
        return [WHOLE]

    def texts(self, task: EvaluatorTask) -> Sequence[str]:
        """List all texts."""
        return task.texts

    def metrics(self, task: EvaluatorTask, names: Sequence[str], top_k: Sequence[int]) -> tuple[Metric, ...]:
        """Choose none: the evaluator does."""
        return ()

    def observe(self, task: EvaluatorTask, encode: Encode, similarity: Similarity) -> Mapping[str, FloatArray]:
        """Let the evaluator score the embedder."""
        scores = task.evaluate(encode, similarity)
        return {name: np.array([score], dtype=np.float64) for name, score in scores.items()}
