"""Pick, compare and regression-test embedding models and rerankers, on your own data.

`run` runs models on tasks, and rerankers behind them; `pick` chooses a model for a folder of documents; `surface`
tells what fewer candidates, dimensions and bytes lose; `compare` says what changed from one run to another; `gate`
says yes or no to a run; `report` writes a page. Each does what the command of its name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalkit.curves.surface import surface
    from evalkit.gating.gate import gate, make_baseline
    from evalkit.metrics.metric import Metric
    from evalkit.models.registry.families import Family
    from evalkit.picking.pick import pick
    from evalkit.reporting.html.page import write_report as report
    from evalkit.results import Results
    from evalkit.results.diff import compare_runs as compare
    from evalkit.runner.run import run
    from evalkit.tasks import load_task
    from evalkit.tasks.given import retrieval_task, sts_task
    from evalkit.types import RetrievalTask, StsTask

__version__ = "0.1.0"
_PLACES = {
    "Family": "evalkit.models.registry.families:Family",
    "Metric": "evalkit.metrics.metric:Metric",
    "Results": "evalkit.results:Results",
    "RetrievalTask": "evalkit.types:RetrievalTask",
    "StsTask": "evalkit.types:StsTask",
    "compare": "evalkit.results.diff:compare_runs",
    "gate": "evalkit.gating.gate:gate",
    "load_task": "evalkit.tasks:load_task",
    "make_baseline": "evalkit.gating.gate:make_baseline",
    "pick": "evalkit.picking.pick:pick",
    "report": "evalkit.reporting.html.page:write_report",
    "retrieval_task": "evalkit.tasks.given:retrieval_task",
    "run": "evalkit.runner.run:run",
    "sts_task": "evalkit.tasks.given:sts_task",
    "surface": "evalkit.curves.surface:surface",
}
__all__ = [
    "Family",
    "Metric",
    "Results",
    "RetrievalTask",
    "StsTask",
    "compare",
    "gate",
    "load_task",
    "make_baseline",
    "pick",
    "report",
    "retrieval_task",
    "run",
    "sts_task",
    "surface",
]


def __getattr__(name: str) -> Any:
    """Import what is public when it is first used, so that `import evalkit` is instant."""
    if name not in _PLACES:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    """List what is public, for editors and notebooks."""
    return sorted([*globals(), *__all__])
