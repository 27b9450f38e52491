"""The engine that is a Ray cluster: an actor a GPU, or a CPU core, and calls that outlive the workers they ran on."""

import os
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cached_property
from itertools import count
from typing import Any
from warnings import catch_warnings, filterwarnings

import ray
from ray.exceptions import RayActorError, RayTaskError

from evalkit.contracts import Advance, no_progress
from evalkit.errors import EngineError
from evalkit.terms import Device

CALLS_PER_WORKER = 2
"""One under way, and one that waits at the worker, so that it never does."""
TRIES = 3
"""Workers that may be lost over one unit, before it is taken for the cause."""
PATIENCE = 120.0
"""Seconds to wait for a worker when there is none."""
OBJECT_STORE_BYTES = 1 << 28
"""Of a cluster that is started here: what is under way at one time is small."""


@contextmanager
def ray_engine(device: Device) -> Iterator["RayEngine"]:
    """Give an engine on the cluster that this process or $RAY_ADDRESS names, else on one that is started on this
    machine.

    Raises EngineError if the cluster cannot be reached, or has none of the processors asked for.
    """
    mine = not ray.is_initialized()
    if mine:
        _connect()
    engine = None
    try:
        engine = RayEngine(device)
        yield engine
    finally:
        if engine is not None:
            engine.close()
        if mine:
            ray.shutdown()


def _connect() -> None:
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a run tells nobody of itself
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of calls that were given up after another's error
    try:
        with catch_warnings():
            filterwarnings("ignore", "lance is not fork-safe")  # what Ray starts here runs programs of its own
            if "RAY_ADDRESS" in os.environ:
                ray.init(**quiet)
            else:
                ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise EngineError(
            f"no Ray cluster at {os.environ.get('RAY_ADDRESS', 'this machine')!r}: {error}. Start one with "
            "`ray start --head`, give its address in RAY_ADDRESS, or leave it unset to start one here."
        ) from error


class _Worker:
    """Holds the model that was called last."""

    def __init__(self) -> None:
        self._number = -1
        self._model: Any = None

    def here(self) -> None:
        """Answers when the worker has started, or started anew."""

    def call(self, number: int, model: list[Any], method: str, arguments: tuple[Any, ...]) -> Any:
        if number != self._number:
            self._model = None  # first, so that two are not held at once
            self._model, self._number = ray.get(model[0]), number
        return getattr(self._model, method)(*arguments, no_progress)


class RayEngine:
    """Calls models on the workers of a cluster, wherever they have room. A unit whose worker is lost goes to another.

    Values come back to this process, which alone writes the store: nothing is committed twice. Workers need the same
    packages and, at the same paths, the same weights; and for search the store, if they are on other machines.
    """

    def __init__(self, device: Device) -> None:
        kind = "GPU" if device == "cuda" else "CPU"
        self.device: Device = device
        cluster: Any = ray  # parts of it have no types
        self.workers = int(cluster.cluster_resources().get(kind, 0))
        if not self.workers:
            raise EngineError(f"the Ray cluster has no {kind} for device {device!r}; choose another with --device.")
        needs = {"num_gpus": 1, "num_cpus": 0} if kind == "GPU" else {"num_cpus": 1}
        # Ray starts a lost worker anew where there is room; what it was called for is ours to give to another.
        remote = cluster.remote(**needs, max_restarts=-1)(_Worker)
        self._actors = [remote.remote() for _ in range(self.workers)]
        self._numbers = count()

    def close(self) -> None:
        """Give the processors back to the cluster."""
        for actor in self._actors:
            ray.kill(actor)

    def calls(
        self, model: object, method: str, units: Iterable[tuple[Any, ...]], advance: Advance
    ) -> Iterator[tuple[int, Any]]:
        """See `contracts.Engine.calls`. Raises EngineError if workers are lost repeatedly; what the model raises."""
        shared, number = [_put(model)], next(self._numbers)
        coming = enumerate(units)
        lost: deque[tuple[int, tuple[Any, ...]]] = deque()
        losses: Counter[int] = Counter()
        room: deque[Any] = deque()
        # Of each answer that is waited for: the worker, and the unit; None: whether the worker is there.
        waited: dict[Any, tuple[Any, tuple[int, tuple[Any, ...]] | None]] = {}

        def ask_whether_there(worker: Any) -> None:
            waited[worker.here.options(max_task_retries=-1).remote()] = worker, None

        for worker in self._actors:
            ask_whether_there(worker)
        try:
            while True:
                while room and (unit := lost.popleft() if lost else next(coming, None)) is not None:
                    worker = room.popleft()
                    waited[worker.call.remote(number, shared, method, unit[1])] = worker, unit
                working = any(unit is not None for _, unit in waited.values())
                if room and not working:
                    return
                ready = waited and ray.wait(list(waited), num_returns=1, timeout=None if working else PATIENCE)[0]
                if not ready:
                    raise EngineError("no worker of the Ray cluster is there any more, or answers.")
                worker, unit = waited.pop(ready[0])
                try:
                    value = ray.get(ready[0])
                except RayActorError as error:
                    if unit is None:  # it will not be started anew
                        continue
                    losses[unit[0]] += 1
                    if losses[unit[0]] == TRIES:
                        raise EngineError(f"{TRIES} workers were lost over the same work: {_said(error)}") from error
                    lost.append(unit)
                    room = deque(each for each in room if each is not worker)
                    if (worker, None) not in waited.values():
                        ask_whether_there(worker)
                except RayTaskError as error:  # what the model raised, without Ray's wrapping
                    raise (error.cause or error) from error
                else:
                    if unit is None:
                        room.appendleft(worker)  # every worker's first call comes before any second one
                        room.extend([worker] * (CALLS_PER_WORKER - 1))
                    else:
                        room.append(worker)
                        advance(len(unit[1][0]))
                        yield unit[0], value
        finally:
            for answer in waited:
                ray.cancel(answer, recursive=False)


def _put(model: object) -> Any:
    """Return the model, without what it has loaded or derived: a worker does that where it is."""
    sent = copy(model)
    for name in list(vars(sent)):
        if isinstance(getattr(type(sent), name, None), cached_property):
            del vars(sent)[name]
    try:
        return ray.put(sent)
    except Exception as error:  # whatever a part of it raises when it is asked to be written down
        raise EngineError(
            f"a {type(model).__name__} cannot be sent to the workers: {_said(error)}. Give a spec in place of an "
            "object, or use --engine local."
        ) from error


def _said(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
