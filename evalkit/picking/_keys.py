"""What a pick can be told, as an editor completes it; `_prepared.prepared` has the defaults."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.runner.keys import RunKeys

if TYPE_CHECKING:
    from llama_index.core.llms import LLM


class PickKeys(RunKeys, total=False):
    """The keys of `evalkit.pick`: those of a run, and its own. Those down to `chunker` are for documents only."""

    include: str | Sequence[str]
    fields: str | Sequence[str]
    questions: str | Path | None
    llm: "str | LLM | None"
    passages: int
    chunk_size: int | Sequence[int] | None
    chunk_overlap: int | Sequence[int]
    chunker: str | Sequence[str]
    context_tokens: int | None
    require: str
    margin: float
    metric: str | None
    budget: float | None
    hybrid: bool
    measure_queries: int
    measure_seconds: float
