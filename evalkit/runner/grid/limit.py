"""A time limit for work that may hang."""

import ctypes
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from evalkit.errors import EvalkitError, TimeLimitError

Result = TypeVar("Result")

SECONDS_TO_END = 5.0
"""For work that is told to end, to commit what it has."""


def within(seconds: float | None, work: Callable[[], Result]) -> Result:
    """What `work` gives, or raises. Raises TimeLimitError if it takes longer; None is no limit.

    What the work then says of why it was not done, by an EvalkitError, is part of the error.

    With a limit the work has a thread of its own. When its time is up, or on Ctrl-C, the thread is told to end, which
    it does when it next runs Python. Code that is stuck below Python (a call into C, a request without a timeout)
    cannot be ended: it is left behind and keeps its memory until the process ends. If it also holds Python's lock,
    nothing in the process can go on, and the limit does not help.
    """
    if seconds is None:
        return work()
    came: Future[Result] = Future()

    def do() -> None:
        try:
            came.set_result(work())
        except BaseException as error:  # raised on below, in the thread that waits
            came.set_exception(error)

    thread = Thread(target=do, daemon=True)
    thread.start()
    try:
        thread.join(seconds)
        late = thread.is_alive()
    finally:
        if thread.is_alive():
            _end(thread)
    if late:
        said = came.exception() if came.done() else None
        why = f" When it was told to end: {said}" if isinstance(said, EvalkitError) else ""
        raise TimeLimitError(f"it took longer than the time limit of {seconds:g} seconds.{why}")
    return came.result()


def _end(thread: Thread) -> None:
    """Raise SystemExit in a thread, as soon as it runs Python, and wait a while for it."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit))
    thread.join(SECONDS_TO_END)
