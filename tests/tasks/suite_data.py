"""What the tests of checks share: the exact messages that bad data must be told with."""

import pytest

from evalkit.errors import DataError
from evalkit.tasks import DataWarning, load_task

NEXT_STEP = (
    "Fix the data, or accept it as it is: on_bad_data=warn (--on-bad-data warn of `evalkit run`, `pick` and "
    "`export`)."
)
NEXT_STEP_FATAL = "Fix the data: not all of this could be accepted with on_bad_data=warn."
ACCEPTED = (
    "Accepted as it is: the first of repeated ids and the higher of two grades count, empty texts and "
    "judgements of absent documents stay, judgements of absent queries and scores that are not finite "
    "numbers are left out."
)


def raised(reference, **options):
    with pytest.raises(DataError) as caught:
        load_task(reference, **options)
    return caught.value


def assert_told(reference, *problems):
    """Problems that can be accepted: all in one error by default, all in one warning when accepted."""
    listed = "\n".join(f"  - {problem}" for problem in problems)
    head = f"{reference}: {len(problems)} problem(s) in the data:\n{listed}\n"
    assert str(raised(reference)) == head + NEXT_STEP
    with pytest.warns(DataWarning) as caught:
        task = load_task(reference, on_bad_data="warn")
    assert [str(each.message) for each in caught] == [head + ACCEPTED]
    assert caught[0].filename == __file__
    return task


def assert_fatal(reference, *problems):
    """Problems that cannot be accepted are errors in both modes."""
    listed = "\n".join(f"  - {problem}" for problem in problems)
    message = f"{reference}: {len(problems)} problem(s) in the data:\n{listed}\n{NEXT_STEP_FATAL}"
    assert str(raised(reference)) == message
    assert str(raised(reference, on_bad_data="warn")) == message
