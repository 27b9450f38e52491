"""Loading a task: its files become checked, frozen values."""

from typing import Any, get_args

from evalkit.errors import ConfigError
from evalkit.tasks.checks import OnBadData
from evalkit.tasks.kinds import Loading, kind_named
from evalkit.tasks.reference import find_task


def load_task(
    reference: str,
    *,
    on_bad_data: OnBadData = "error",
    max_queries: int | None = None,
    seed: int = 0,
) -> Any:
    """Load the task that `NAME_OR_PATH[?split=SPLIT]` names, and check all of its data.

    `max_queries` keeps a random sample (by `seed`) of that many judged queries, or sentence pairs, in the
    order of the data. With `on_bad_data="warn"` problems are one DataWarning, and the data is used in a
    defined way: the first of repeated ids and the higher of two grades count, empty texts and judgements of
    absent documents stay, judgements of absent queries and scores that are not finite numbers are left out.

    Raises UnknownNameError or ConfigError if the reference or an argument cannot be used, DataError with
    every problem in the data; under "warn" only if a file cannot be read, or fields, documents or all
    judgements are missing.
    """
    if on_bad_data not in get_args(OnBadData):
        raise ConfigError(f"on_bad_data is {on_bad_data!r}. Allowed: {', '.join(get_args(OnBadData))}.")
    if max_queries is not None and max_queries < 1:
        raise ConfigError(f"max_queries is {max_queries}; it must be at least 1, or None for all.")
    info, split = find_task(reference)
    return kind_named(info.type).load(info, split, Loading(on_bad_data, max_queries, seed))
