"""Which cells are defined on too few of a task's items to stand beside the others."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evalkit.types import FloatArray

FLOOR = 0.9
"""Share of a task's items on which a cell must be defined to have a rank, and to take part in comparisons and means.

What a cell scores on fewer is a score of other items than those of the others: often the easier ones.
"""


def is_enough(n: Any, items: int) -> Any:
    """Tell whether `n` defined items (a number, or an array or column of them) are enough of a task's `items`."""
    return n >= FLOOR * items


def is_covered(values: FloatArray) -> NDArray[np.bool_]:
    """Tell which columns are finite on enough rows: float64 of shape (n_items, n_cells) to bool (n_cells,)."""
    return np.asarray(is_enough(np.isfinite(values).sum(axis=0), len(values)))


def is_thin(board: pd.DataFrame) -> pd.Series:
    """Tell which rows of a board (see `comparisons.against_best`) have a score over too few items, and so no rank."""
    return board["score"].notna() & board["rank"].isna()


def in_words(n: int, items: int, things: str) -> str:
    """What a thin cell is, as the end of a sentence: "covers 12 of 1,379 pairs, fewer than 90 %"."""
    return f"covers {n:,} of {items:,} {things}, fewer than {FLOOR:.0%}".replace("%", " %")
