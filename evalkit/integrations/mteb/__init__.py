"""mteb: its tasks as ours, our tasks and embedders as its own, and result files both ways.

mteb itself is imported when one of these is called, since that takes seconds.
"""

from evalkit.integrations.mteb._local import as_mteb_model, as_mteb_task
from evalkit.tasks.mteb.tasks import load_tasks

__all__ = ["as_mteb_model", "as_mteb_task", "load_tasks"]
