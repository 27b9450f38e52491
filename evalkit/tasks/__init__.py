"""Tasks: finding them by name or path, reading the layouts people already have, and checking their data."""

from evalkit.tasks.checks import DataWarning
from evalkit.tasks.layouts import TaskInfo
from evalkit.tasks.reference import list_tasks, load_task, task_folders

__all__ = ["DataWarning", "TaskInfo", "list_tasks", "load_task", "task_folders"]
