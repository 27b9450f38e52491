"""What a run pays for: a budget that all its models share, and an account of what each of them cost."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Protocol, runtime_checkable

from evalkit.errors import BudgetError


@dataclass
class Spent:
    """What a model behind an API did: texts or pairs answered, requests, tokens and USD paid for.

    `unanswered` counts requests whose answer was lost, or could not be read; the provider may have charged for them,
    so their estimated cost is in `usd`. `estimated` says that tokens are estimates, for the API does not tell them.
    `usd` is NaN where no price is known.
    """

    texts: int = 0
    requests: int = 0
    unanswered: int = 0
    tokens: int = 0
    estimated: bool = False
    usd: float = 0.0

    def add(self, other: "Spent") -> None:
        """Count what another holds too."""
        self.texts += other.texts
        self.requests += other.requests
        self.unanswered += other.unanswered
        self.tokens += other.tokens
        self.estimated |= other.estimated
        self.usd += other.usd


class Spending:
    """The account of a run, `models` by name, and its budget: at most `max_usd`, if given. Safe in threads."""

    def __init__(self, max_usd: float | None = None) -> None:
        self.max_usd = max_usd
        self.models: dict[str, Spent] = {}
        self._under_way = 0.0
        self._lock = Lock()

    @property
    def usd(self) -> float:
        """What all models cost so far; NaN if the price of one is not known."""
        return math.fsum(spent.usd for spent in self.models.values())

    @contextmanager
    def request(self, model: str, usd: float) -> Iterator[Spent]:
        """Give room in the budget for a request that will cost about `usd`; what it did cost is filled in meanwhile.

        Raises BudgetError, before anything is sent, if there is no room.
        """
        with self._lock:
            if self.max_usd is not None and not self.usd + self._under_way + usd <= self.max_usd:
                raise BudgetError(self._no_room(model, usd))
            self._under_way += usd
        spent = Spent()
        try:
            yield spent
        finally:
            with self._lock:
                self._under_way -= usd
                self.models.setdefault(model, Spent()).add(spent)

    def _no_room(self, model: str, usd: float) -> str:
        if math.isnan(usd):
            return f"no price is known for {model}, so it cannot run under --max-cost. Give its spec price=USD."
        waiting = f" and {self._under_way:.6f} USD under way" if self._under_way else ""
        return (
            f"the budget is used up: {self.usd:.6f} USD spent{waiting}, and the next request to {model} would cost "
            f"about {usd:.6f} USD, more than --max-cost {self.max_usd:g} allows. Give more, or fewer texts; what was "
            "paid for is in the store, if there is one."
        )


@runtime_checkable
class Paid(Protocol):
    """A model behind an API: it asks `spending` before each request, and accounts for it there."""

    spending: Spending
