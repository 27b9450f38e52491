"""mteb without its own progress bars, which would break into ours."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partialmethod
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """No bars of datasets, nor of tqdm, which mteb shows whatever it is told."""
    from datasets import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from tqdm import tqdm

    shown, plain = not are_progress_bars_disabled(), tqdm.__init__
    loud: Any = tqdm
    disable_progress_bars()
    loud.__init__ = partialmethod(plain, disable=True)
    try:
        yield
    finally:
        loud.__init__ = plain
        if shown:
            enable_progress_bars()
