"""What a gate decides: its checks, and the exit status that they come to."""

from dataclasses import dataclass

from evalkit.gating.check import Check
from evalkit.gating.retrieved import Retrieved
from evalkit.results.diff import Changes

PASS, REGRESSION, UNDECIDED = 0, 1, 2


@dataclass(frozen=True)
class Verdict:
    """The checks of a gate, in order, what changed, and what the queries that they name retrieved.

    With `strict`, what the queries do not tell is no pass.
    """

    checks: tuple[Check, ...]
    changes: Changes
    retrieved: tuple[Retrieved, ...] = ()
    strict: bool = False

    @property
    def status(self) -> int:
        """0 pass, 1 regression, 2 it cannot be decided. A regression that is there is one, whatever is missing.

        Where no check passed, nothing says that the run is good enough.
        """
        outcomes = {check.outcome for check in self.checks}
        if "fail" in outcomes:
            return REGRESSION
        if "undecided" in outcomes or "pass" not in outcomes or (self.strict and "warn" in outcomes):
            return UNDECIDED
        return PASS

    @property
    def word(self) -> str:
        """The status in a word or two."""
        return {PASS: "pass", REGRESSION: "regression", UNDECIDED: "cannot decide"}[self.status]
