"""The tables of a plan: its tasks, its models, and the sums."""

from collections.abc import Sequence

from evalkit.reporting.table import Table, TableCell
from evalkit.runner._plan import ModelPlan, Plan


def plan_tables(plan: Plan) -> list[Table]:
    """Tell what `evalkit run --dry-run` shows."""
    return [_task_table(plan), _model_table(plan), *_problem_table(plan)]


def _task_table(plan: Plan) -> Table:
    rows = [(task.name, task.size, task.where, _number(task.megabytes)) for task in plan.tasks]
    note = f"Cells: {plan.cells:,}. At most {plan.texts:,} texts to encode and {plan.pairs:,} pairs to rerank."
    if any(task.where == "unknown" for task in plan.tasks):
        note += " Tasks of unknown size are not counted."
    return _table("Tasks", ("Task", "Size", "Data", "MB to download"), rows, note, text_columns=3)


def _model_table(plan: Plan) -> Table:
    rows = [
        (model.label, model.role, model.weights, _number(model.megabytes), _number(model.usd, 2))
        for model in plan.models
    ]
    waiting = [*_downloads(plan.models), *(task.megabytes for task in plan.tasks)]
    costs = [model.usd for model in plan.models if model.weights != "cannot be run"]
    note = f"To download: {_about(waiting, '.0f', 'MB')}. To pay: {_about(costs, '.2f', 'USD')}."
    return _table("Models", ("Model", "As", "Weights", "MB", "USD"), rows, note, text_columns=3)


def _problem_table(plan: Plan) -> list[Table]:
    rows = [(model.label, model.problem) for model in plan.models if model.problem]
    return [_table("Cannot be run", ("Model", "Reason"), rows, "", text_columns=2)] if rows else []


def _downloads(models: tuple[ModelPlan, ...]) -> list[float | None]:
    """Return megabytes of each checkpoint that is not at hand; two models may read the same one."""
    return list({model.checkpoint: model.megabytes for model in models if model.weights == "to download"}.values())


def _number(value: float | None, digits: int = 0) -> str:
    if value is None:
        return "?"
    least = 10**-digits
    return "–" if value == 0 else f"<{least:g}" if value < least else f"{value:,.{digits}f}"


def _about(values: list[float | None], form: str, unit: str) -> str:
    known = [value for value in values if value is not None]
    unknown = len(values) - len(known)
    more = f", and {unknown} not known" if unknown else ""
    return f"about {sum(known):,{form}} {unit}{more}" if sum(known) or more else "nothing"


def _table(
    title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str, text_columns: int
) -> Table:
    return Table(title, columns, tuple(tuple(map(TableCell, row)) for row in rows), note, text_columns)
