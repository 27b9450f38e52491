"""A progress bar for long work: what is being done, texts a second, time left. Quiet where no terminal is."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from evalkit.contracts import Advance


class _Rate(ProgressColumn):
    """Finished units a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} {task.fields['unit']}/s", style="progress.data.speed")


class Progress:
    """Shows one bar at a time on standard error. Use as a context manager around the whole work."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True)
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    @contextmanager
    def step(self, description: str, total: int, unit: str = "texts") -> Iterator[Advance]:
        """Give a bar for one step; the function it gives is called with the number of units finished."""
        bar = self._bars.add_task(description, total=total, unit=unit)
        try:
            yield lambda finished: self._bars.advance(bar, finished)
        finally:
            self._bars.remove_task(bar)
