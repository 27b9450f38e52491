"""Tasks: finding them by name or path, reading the layouts people already have, and checking their data."""

from evalkit.suite.checks import DataWarning
from evalkit.suite.layouts import TaskInfo
from evalkit.suite.loaders import load_task
from evalkit.suite.reference import list_tasks, task_folders

__all__ = ["DataWarning", "TaskInfo", "list_tasks", "load_task", "task_folders"]
