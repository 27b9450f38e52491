"""Values as JSON that may stand inside a script element, and large ones compressed."""

import base64
import gzip
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

DIGITS = 5
"""Significant digits that numbers keep in the page: more than it shows."""


def plain(value: Any) -> Any:
    """The value with plain types: numbers rounded, and None for what is NaN, infinite or missing."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, np.ndarray | Sequence):
        return [plain(each) for each in value]
    return None if pd.isna(value) else str(value)


def to_json(value: Any) -> str:
    """JSON in which no text can end a script element, or a line of a script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def compressed(value: Any) -> str:
    """The value's JSON, gzip, base64: the page's script unpacks it when it is first needed."""
    return base64.b64encode(gzip.compress(to_json(value).encode("utf-8", "replace"), 9, mtime=0)).decode("ascii")
