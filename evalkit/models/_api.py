"""What all paid APIs share: requests sent at once, sent again after faults, checked, and kept within a budget.

The clients' own retries are switched off: this is the one place that retries. A request that is refused is sent again
in two halves, down to a single text: servers differ in how many texts they take at once, and one text that a server
refuses must not lose the others. A single text that is refused for its length is sent cut, until it is taken.
"""

import math
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Event
from typing import Any

from numpy.typing import NDArray
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_when_event_set,
    wait_exponential_jitter,
)

from evalkit.errors import ApiError
from evalkit.models._api_requests import SHORTER, RefusedError, Request, WrongAnswerError, halves, named
from evalkit.models.registry.catalogue import Price
from evalkit.secrets import hide
from evalkit.spending import Spending

ATTEMPTS = 8
"""How often a request is sent before it is given up."""
SERVER_ERRORS = 3
"""Answers of status 500 to a request of several texts after which it is sent in halves."""
WRONG_ANSWERS = 3
"""How many answers to a request may be wrong; each is paid for."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""Seconds between two attempts, unless the server says otherwise: doubled each time, with as much jitter."""
ANSWERS_AWAITED = 0.5
"""Seconds until a wait for answers begins anew, so that a thread that is told to end sees it."""
LONGEST_RETRY_AFTER = 300.0
"""Seconds; a server that asks for more has run out of quota, and waiting is no help."""
CHECK_BASE = "check api_base, which mostly ends in /v1"
KEPT = "What other requests gave is in the store, if there is one; the next run asks for the rest only."
CHARACTERS_SHOWN = 300
"""Of a server's message."""
ALL_REFUSED = 4
"""Texts, each alone, after whose refusal a server that has taken none is not asked about the others."""

# The clients share no base class. These are the names of theirs, and of Python's, for an answer that never came.
_NO_ANSWER = {"APIConnectionError", "ConnectionError", "Timeout", "TimeoutError", "TransportError"}
_AGAIN = {408, 409, 425, 429}
_REFUSED = {400, 413, 422}
"""The status of a request that a smaller one, or another text, might not get."""
_LENGTH = re.compile(r"context|tokens?\b|length|too (?:long|large)|exceed|longer", re.IGNORECASE)
"""A word of a server that refuses a text for its length."""
_TOO_LONG = re.compile(r"context.?(?:length|window|size)|input length|too (?:long|large)", re.IGNORECASE)
"""The same, where the status says that the server failed (Ollama and others answer so with status 500)."""
_LIMIT = re.compile(r"(?:max\w*|limit|less than|at most|up to|longer than|exceed\w*)\D{0,40}?(\d+)", re.IGNORECASE)
"""How much a server says that it takes."""


class _AgainError(Exception):
    """A request that may be sent again, after `wait` seconds if the server said so."""

    def __init__(self, reason: str, wait: float | None = None, status: int | None = None) -> None:
        super().__init__(reason)
        self.wait, self.status = wait, status


class Api:
    """Sends the requests of one model. `check` makes an array of an answer's values, or raises WrongAnswerError."""

    def __init__(
        self, name: str, key: str, price: Price | None, concurrency: int, check: Callable[[Any, int], NDArray[Any]]
    ) -> None:
        self._name, self._key, self._price, self._concurrency, self._check = name, key, price, concurrency, check
        self._resume = 0.0
        self._most: int | None = None
        """Texts that the server takes at once, where it was found to refuse more."""
        self._taken = False
        """Whether any request was answered yet."""
        self._failed = ""
        """Why a request was last sent again."""

    def answers(self, requests: Iterable[Request], spending: Spending) -> Iterator[tuple[Request, NDArray[Any]]]:
        """Yield checked answers, in the order in which they come.

        Raises ApiError or BudgetError for the first request that fails for good, after all that were under way
        have ended: what they gave comes first, for it is paid for. Texts that the server refuses one by one, while it
        takes others, are an ApiError that names them, after all others have been answered. If it is told to end (by
        SystemExit in its thread) while the server fails, the server's words are an ApiError.
        """
        stop = Event()
        with ThreadPoolExecutor(self._concurrency) as pool:
            try:
                yield from self._gathered(
                    iter(requests), lambda request: pool.submit(self._ask, request, spending, stop), stop
                )
            finally:
                stop.set()

    def _gathered(
        self, waiting: Iterator[Request], submit: Callable[[Request], Future[NDArray[Any]]], stop: Event
    ) -> Iterator[tuple[Request, NDArray[Any]]]:
        running: dict[Future[NDArray[Any]], Request] = {}
        smaller: deque[Request] = deque()
        refused: list[tuple[Request, str]] = []
        failure: BaseException | None = None
        while True:
            try:
                hopeless = len(refused) >= ALL_REFUSED and not self._taken
                while failure is None and not hopeless and len(running) < self._concurrency:
                    request = smaller.popleft() if smaller else next(waiting, None)
                    if request is None:
                        break
                    if self._most is not None and len(request.rows) > self._most:
                        smaller.extendleft(reversed(request.parts(self._most)))
                        continue
                    running[submit(request)] = request
                done: Iterable[Future[NDArray[Any]]] = ()
                while running and not done:
                    done, _ = wait(running, timeout=ANSWERS_AWAITED, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt as interrupt:
                failure = interrupt
                stop.set()
                continue
            except SystemExit as end:
                failure = ApiError(f"{self._name}: {self._failed}. {KEPT}") if self._failed else end
                stop.set()
                continue
            for future in done:
                request, error = running.pop(future), future.exception()
                if error is None:
                    self._learn(request)
                    yield request, future.result()
                elif isinstance(error, RefusedError) and (again := halves(request, error)):
                    smaller.extendleft(reversed(again))
                elif isinstance(error, RefusedError):
                    refused.append((request, str(error)))
                elif failure is None:
                    failure = error
                    stop.set()
            if not done:
                break
        if failure is not None:
            raise failure
        if refused:
            request, reason = refused[0]
            raise ApiError(f"{self._name}: {reason}. That was said of {named(request, len(refused))}. {KEPT}")

    def _learn(self, request: Request) -> None:
        """From a request that was taken: where both halves of a refused one are, its size was the reason."""
        self._taken = True
        if request.half_of is not None:
            request.half_of.taken += 1
            if request.half_of.taken == 2:
                self._most = min(self._most or request.half_of.texts, request.half_of.texts)

    def _ask(self, request: Request, spending: Spending, stop: Event) -> NDArray[Any]:
        wrong = failed = 0

        def attempt() -> NDArray[Any]:
            nonlocal wrong, failed
            if stop.wait(max(0.0, self._resume - time.monotonic())):
                raise _AgainError("another request failed")
            try:
                return self._once(request, spending)
            except _AgainError as error:
                self._failed = _blamed(request, error)
                failed += error.status == 500
                if failed < SERVER_ERRORS or len(request.rows) == 1:
                    raise
                # Some servers fail at what they do not take, such as several texts at once.
                raise RefusedError(str(error), None) from None
            except WrongAnswerError as error:
                wrong += 1
                if wrong < WRONG_ANSWERS:
                    raise _AgainError(str(error)) from None
                reason = f"{wrong} wrong answers to one request: {error}"
            raise ApiError(f"{self._name}: {reason}. {KEPT}")

        retrying = Retrying(
            stop=stop_after_attempt(ATTEMPTS) | stop_when_event_set(stop),
            retry=retry_if_exception_type(_AgainError),
            wait=self._pause,
            sleep=sleep_using_event(stop),
            reraise=True,
        )
        try:
            return retrying(attempt)
        except _AgainError as error:
            attempts, reason = retrying.statistics["attempt_number"], _blamed(request, error)
        raise ApiError(f"{self._name}: gave up after {attempts} attempts; the last: {reason}. {KEPT}")

    def _once(self, request: Request, spending: Spending) -> NDArray[Any]:
        """Send a request. Raises _AgainError, ApiError or WrongAnswerError without the client's error behind it."""
        estimate = self._cost(request.tokens, request.searches)
        with spending.request(self._name, estimate) as spent:
            try:
                answer = request.send()
            except Exception as error:  # whatever a client raises; it may hold the key, and must not be chained
                failure = self._explained(error)
                if (_status(error) or 0) < 400:  # lost, or not to be read: it may be charged for
                    spent.unanswered, spent.usd = 1, estimate
            else:
                tokens = request.tokens if answer.tokens is None else answer.tokens
                searches = request.searches if answer.searches is None else answer.searches
                spent.requests, spent.tokens, spent.usd = 1, tokens, self._cost(tokens, searches)
                spent.estimated = answer.tokens is None
                values = self._check(answer.values, len(request.rows))
                spent.texts = len(values)
                return values
        raise failure

    def _cost(self, tokens: int, searches: int) -> float:
        return math.nan if self._price is None else self._price.cost(tokens, searches)

    def _explained(self, error: Exception) -> Exception:
        """Tell what to do about a client's error: send again, see it as a wrong answer, or give up."""
        status, headers, text = _status(error), _headers(error), _said(error)
        message = str(getattr(error, "body", None) or error)
        said = " ".join(hide(message, [self._key]).split())[:CHARACTERS_SHOWN]
        if status == 401:  # such messages show parts of the key
            return ApiError(f"{self._name}: the key was refused (status 401). Check it in the environment.")
        if "insufficient_quota" in message:  # OpenAI says so with status 429, but no waiting helps
            return ApiError(f"{self._name}: no credit is left (status {status}): {said}")
        if status in _REFUSED or (status is not None and status >= 500 and _TOO_LONG.search(text)):
            is_length = status == 413 or _LENGTH.search(text)
            return RefusedError(f"refused with status {status}: {said}", _kept(text) if is_length else None)
        if status is not None and (status in _AGAIN or status >= 500):
            asked = _retry_after(headers)
            if asked is not None and asked > LONGEST_RETRY_AFTER:
                return ApiError(f"{self._name}: status {status}, to be tried again in {asked:.0f} s: {said}")
            if asked is not None:
                self._resume = max(self._resume, time.monotonic() + asked)
            return _AgainError(f"status {status}: {said}", asked, status)
        if status == 404:
            return ApiError(f"{self._name}: nothing there (status 404): {said}. If the name is right, {CHECK_BASE}.")
        if status is not None and status >= 400:
            return ApiError(f"{self._name}: refused with status {status}: {said}")
        if not self._taken and _nobody_there(error):
            return ApiError(
                f"{self._name}: nothing answers there (connection refused). Start the server, or check its address: "
                f"{said}"
            )
        if _lost(error):
            return _AgainError(f"no answer: {type(error).__name__}: {said}")
        if isinstance(error, WrongAnswerError):
            return WrongAnswerError(said)
        if isinstance(error, AttributeError | TypeError | KeyError | ValueError):
            return WrongAnswerError(f"an answer of another form than this API's ({type(error).__name__}: {said})")
        return WrongAnswerError(f"{type(error).__name__}: {said}")

    def _pause(self, state: RetryCallState) -> float:
        backoff = wait_exponential_jitter(FIRST_WAIT, LONGEST_WAIT, jitter=FIRST_WAIT)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait if isinstance(error, _AgainError) else None
        return backoff if asked is None else asked + backoff / 10


def _blamed(request: Request, error: Exception) -> str:
    """Say what went wrong with a request, and name its text if it has only one."""
    return f"{error}. That was said of {named(request, 1)}" if len(request.rows) == 1 else str(error)


def _kept(message: str) -> float:
    """Return the fraction of a text that a server takes, by the limit and the size that it names, if it names
    both.
    """
    message = message.replace(",", "")
    limit = _LIMIT.search(message)
    largest = max(map(int, re.findall(r"\d+", message)), default=0)
    if limit is None or not 0 < int(limit[1]) < largest:
        return SHORTER
    # A little less than the share: the end of a text may have more tokens a character than the rest.
    return min(0.98 * int(limit[1]) / largest, 0.98)


def _said(error: Exception) -> str:
    """Return the server's own sentence, without the status and other numbers around it."""
    body = getattr(error, "body", None)
    for _ in range(3):  # such as {"error": {"message": "..."}}
        if not isinstance(body, Mapping):
            break
        body = next((body[key] for key in ("message", "detail", "error") if body.get(key)), str(dict(body)))
    return str(body or error)


def _status(error: Exception) -> int | None:
    numbers = (getattr(error, name, None) for name in ("status_code", "http_status", "code"))
    return next((number for number in numbers if isinstance(number, int)), None)


def _headers(error: Exception) -> Mapping[str, str]:
    found = getattr(error, "headers", None) or getattr(getattr(error, "response", None), "headers", None) or {}
    return {str(name).lower(): str(value) for name, value in dict(found).items()}


def _lost(error: Exception) -> bool:
    """Tell whether the answer never came, though the request may have been carried out."""
    return _status(error) is None and any(kind.__name__ in _NO_ANSWER for kind in type(error).__mro__)


def _nobody_there(error: BaseException | None) -> bool:
    """Say whether the connection was refused: no program listens at the address."""
    if error is None:
        return False
    if isinstance(error, ConnectionRefusedError) or "connection refused" in str(error).lower():
        return True
    return _nobody_there(error.__cause__ or error.__context__)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Return seconds until the server wants to be asked again: a number, or a date."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except ValueError:
        return None
