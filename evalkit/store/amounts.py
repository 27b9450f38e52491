"""Ages, times and sizes as people write them: 30d, 12h, 90s, 500MB, 5GB."""

import re
from datetime import timedelta

from evalkit.errors import ConfigError

_AGES = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_TIMES = {"h": timedelta(hours=1), "m": timedelta(minutes=1), "s": timedelta(seconds=1)}
_SIZES = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def parse_age(text: str) -> timedelta:
    """A number of days (d), hours (h) or minutes (m). Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([dhm])", text)
    if not found:
        raise ConfigError(f"an age is a number and d, h or m, such as 30d; got {text!r}")
    return float(found[1]) * _AGES[found[2]]


def parse_budget(text: str) -> timedelta:
    """A time to spend: a number of hours (h), minutes (m) or seconds (s), above 0. Raises ConfigError otherwise."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([hms])", text.strip())
    if not found or not float(found[1]):
        raise ConfigError(f"a budget is a time above 0, a number and h, m or s, such as 10m; got {text!r}")
    return float(found[1]) * _TIMES[found[2]]


def parse_size(text: str) -> int:
    """Bytes from a number of KB, MB, GB or TB (powers of 1000). Raises ConfigError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]B)", text, re.IGNORECASE)
    if not found:
        raise ConfigError(f"a size is a number and KB, MB, GB or TB, such as 5GB; got {text!r}")
    return int(float(found[1]) * _SIZES[found[2].upper()])
