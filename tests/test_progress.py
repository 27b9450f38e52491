"""Progress: how much of all the work is left, on a terminal and, once a minute, without one."""

import io

import pytest
from rich.console import Console

from evalkit.progress import Progress, in_words


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_without_a_terminal_a_line_a_minute_tells_what_is_left():
    shown, clock = io.StringIO(), Clock()
    with Progress(Console(file=shown, width=200), clock) as progress:
        progress.expect([("docs: a", 100.0), ("docs: a", 100.0), ("docs: b", 200.0)])
        for _ in range(2):
            with progress.step("docs: a", 10) as advance:
                for _ in range(10):
                    clock.now += 20
                    advance(1)
        with progress.step("docs: b", 4, "pairs") as advance:
            clock.now += 20
            advance(1)
    lines = shown.getvalue().splitlines()
    # It takes twice as long as was expected, and after a twentieth that is known.
    assert lines[0] == "docs: a: 3 of 10 texts; about 12 min left in all"
    assert len(lines) == 7, "420 s"
    assert lines[-1] == "docs: b: 1 of 4 pairs; about 4 min left in all"


def test_without_expectations_a_line_has_no_time_left():
    shown, clock = io.StringIO(), Clock()
    with Progress(Console(file=shown, width=200), clock) as progress, progress.step("pets: bow", 4) as advance:
        clock.now = 61
        advance(3)
    assert shown.getvalue() == "pets: bow: 3 of 4 texts\n"


def test_a_terminal_shows_the_step_and_the_whole():
    shown, clock = io.StringIO(), Clock()
    console = Console(file=shown, force_terminal=True, width=100)
    with Progress(console, clock) as outer:
        outer.expect([("docs: a", 30.0), ("docs: b", 90.0)])
        with outer as inner, inner.step("docs: a", 10) as advance:
            clock.now = 30
            advance(10)
        outer._bars.refresh()
    assert "in all" in shown.getvalue()
    assert "docs: a" in shown.getvalue()
    assert "0:01:30" in shown.getvalue()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.25, "0.2 s"), (9.4, "9 s"), (9.6, "10 s"), (42.3, "42 s"), (99.9, "100 s"), (150, "2 min"), (7200, "2.0 h")],
)
def test_times_are_short(seconds, told):
    assert in_words(seconds) == told
