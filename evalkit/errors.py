"""One typed error per kind of mistake; each message says what arrived, what is allowed and the next step."""

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from evalkit.installed import install_line


class EvalkitError(Exception):
    """Base of every error that evalkit raises on purpose; the command line prints it without a traceback."""


def reason_of(error: BaseException) -> str:
    """Say what an error says, and name its type if evalkit did not raise it on purpose."""
    told = [str(error)] if isinstance(error, EvalkitError) else [type(error).__name__, str(error)]
    return ": ".join(filter(None, told))


class SpecError(EvalkitError):
    """A model spec string cannot be read, or names an option or value that its family does not have."""


class UnknownNameError(EvalkitError):
    """A family, model, task or key that does not exist; the message names the nearest one that does."""


class ConfigError(EvalkitError):
    """A suite (file, command line or keyword arguments) has values that cannot be run."""


class DataError(EvalkitError):
    """A task's data breaks the rules; every problem found is listed at once."""

    def __init__(self, source: str, problems: Sequence[str], next_step: str) -> None:
        self.source = source
        self.problems = tuple(problems)
        listed = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source}: {len(problems)} problem(s) in the data:\n{listed}\n{next_step}")


class VectorError(EvalkitError):
    """An embedder returned vectors that cannot be scored: not finite, all zero, or the wrong shape."""


class ScoreError(EvalkitError):
    """A reranker returned scores that cannot be ranked: not finite, or the wrong count."""


class StoreError(EvalkitError):
    """The store cannot be read or written, or holds altered rows."""


class TimeLimitError(EvalkitError):
    """Loading a model, or a cell, took longer than the run's time limit."""


class ModelNotFoundError(EvalkitError):
    """Weights are neither in a local folder, nor in the hub's cache, nor reachable, nor in a package."""


class UntrustedError(EvalkitError):
    """A model's files would run code or are pickled, and the user has not allowed that."""


class OptionalDependencyError(EvalkitError):
    """A model family needs a package that is not installed; the message gives the install line."""

    def __init__(self, what: str, module: str, extra: str | None) -> None:
        install = install_line(extra, module) if extra else f"pip install {module}"
        super().__init__(f"{what} needs the package {module!r}. Install it: {install}")


class MissingKeyError(EvalkitError):
    """The environment holds no key for a paid API."""


class ApiError(EvalkitError):
    """A model's API refused a request, could not be reached, or kept answering wrongly. No message holds a key."""


class BudgetError(EvalkitError):
    """A request to a paid API would cost more than is left of the run's budget, or has no known price."""


class EngineError(EvalkitError):
    """The workers that models are called on cannot be reached, or are lost over and over."""


class ReportError(EvalkitError):
    """All results of a run are written, but not all tables and pages could be made of them.

    `failed` holds the reason by what could not be made, `results` what was computed: what would have been returned.
    """

    def __init__(self, message: str, failed: Mapping[str, str], results: Any) -> None:
        self.failed, self.results = dict(failed), results
        super().__init__(message)


class DeviceError(EvalkitError):
    """The device asked for is not on this machine."""


def did_you_mean(name: str, allowed: Iterable[str]) -> str:
    """Return a closing sentence for an unknown-name error: the nearest names if any, else all that are allowed."""
    choices = sorted(allowed)
    near = get_close_matches(name, choices, n=3, cutoff=0.6)
    if near:
        return "Did you mean " + " or ".join(repr(candidate) for candidate in near) + "?"
    return "Allowed: " + ", ".join(choices) + "."
