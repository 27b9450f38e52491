"""Progress of long work: what is done, texts a second, time left. Bars on a terminal, elsewhere a line a minute."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn
from rich.progress import Progress as RichProgress
from rich.text import Text

from evalkit.contracts import Advance

LINE_EVERY = 60.0
"""Seconds between two lines, where there is no terminal."""
KNOWN = 0.05
"""Once this share of the work is done, the time that it took corrects what was expected of the rest."""


class Progress:
    """Shows one step at a time on standard error, and how much of the whole is left once `expect` has told of it.

    Use it as a context manager around the whole work; one within another is the same.
    """

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._entered = 0
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            _Count(),
            _Left(self._left),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._whole = self._bars.add_task("in all", total=None, visible=False, unit="")
        self._expected: list[tuple[str, float]] = []
        self._started = self._told = clock()
        self._done = 0.0

    def __enter__(self) -> Self:
        self._entered += 1
        if self._entered == 1:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._entered -= 1
        if self._entered == 0:
            self._bars.stop()

    def expect(self, steps: Sequence[tuple[str, float]]) -> None:
        """Take the steps that are still to come, each by its description and seconds; those told before are over."""
        self._expected = list(steps)
        self._started, self._done = self._clock(), 0.0
        self._bars.update(self._whole, total=sum(seconds for _, seconds in steps), completed=0, visible=True)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    @contextmanager
    def step(self, description: str, total: int, unit: str = "texts") -> Iterator[Advance]:
        """Give a bar for one step; the function it gives is called with the number of units finished."""
        bar = self._bars.add_task(description, total=total, unit=unit)
        of_whole = self._seconds_of(description)
        finished, before = 0, self._done

        def advance(more: int) -> None:
            nonlocal finished
            finished += more
            self._bars.advance(bar, more)
            self._move(before + of_whole * min(1.0, finished / max(total, 1)))
            self._tell(f"{description}: {finished:,} of {total:,} {unit}")

        self._tell(description)
        try:
            yield advance
            self._move(before + of_whole)
        finally:
            self._bars.remove_task(bar)

    def _seconds_of(self, description: str) -> float:
        place = next((place for place, (name, _) in enumerate(self._expected) if name == description), None)
        return 0.0 if place is None else self._expected.pop(place)[1]

    def _move(self, done: float) -> None:
        self._done = done
        self._bars.update(self._whole, completed=done)

    def _left(self) -> float | None:
        """Return the seconds that all of the rest will take; None before it was told what is to be done."""
        total = self._bars.tasks[0].total
        if total is None:
            return None
        slower = (self._clock() - self._started) / self._done if self._done > KNOWN * total else 1.0
        return (total - self._done) * slower

    def _tell(self, what: str) -> None:
        """Write a line, if there is no terminal and it is time for one."""
        now = self._clock()
        if self._console.is_terminal or not self._entered or now - self._told < LINE_EVERY:
            return
        self._told, left = now, self._left()
        self.say(f"{what}{'' if left is None else f'; about {in_words(left)} left in all'}")


def in_words(seconds: float) -> str:
    """Return a time for people, of two digits or so: "40 s", "3 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1g} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class _Count(ProgressColumn):
    """Finished units of all, and units a second."""

    def render(self, task: Task) -> Text:
        if not task.fields["unit"]:
            return Text("")
        speed = task.finished_speed or task.speed
        rate = "" if speed is None else f" {speed:,.0f} {task.fields['unit']}/s"
        return Text(f"{task.completed:.0f}/{task.total:.0f}{rate}", style="progress.data.speed")


class _Left(ProgressColumn):
    """Time left: of a step by its speed, of the whole by what was expected of it."""

    max_refresh = 0.5

    def __init__(self, of_whole: Callable[[], float | None]) -> None:
        super().__init__()
        self._of_whole = of_whole

    def render(self, task: Task) -> Text:
        left = task.time_remaining if task.fields["unit"] else self._of_whole()
        return Text("" if left is None else f"{timedelta(seconds=round(left))}", style="progress.remaining")
