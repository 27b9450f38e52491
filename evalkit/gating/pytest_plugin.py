"""pytest plugin: a suite held to a baseline as tests, and scores for a team's own tests.

Loaded by pytest wherever evalkit is installed, so that it imports nothing heavy before it is used.
"""

import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError, EvalkitError

if TYPE_CHECKING:
    from evalkit.gating.verdict import Check, Verdict
    from evalkit.results import Results

MARKER = "evalkit"
REST = "the run"
"""The name of the test of all that is of no single cell: floors, drift, must-pass queries, data."""
_verdict = pytest.StashKey["Verdict"]()
_models = pytest.StashKey[dict[str, Any]]()
_results = pytest.StashKey[dict[str, "Results"]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a gate, as tests."""
    group = parser.getgroup("evalkit", "embedding models held to a baseline")
    group.addoption("--evalkit-baseline", metavar="FILE", help="what `evalkit baseline` wrote; needs --evalkit-suite")
    group.addoption("--evalkit-suite", metavar="FILE", help="suite that is run and held to the baseline")
    group.addoption("--evalkit-policy", metavar="FILE", help="YAML file of margins, floors, slices (evalkit gate)")
    group.addoption("--evalkit-strict", action="store_true", help="what cannot be told fails, too")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, and check the options."""
    config.addinivalue_line(
        "markers",
        "evalkit(task, model, min=None, reranker='none', metric=None, **keys): the test fails if the model's score "
        "on the task is below min; the fixture evalkit_scores has all its scores. keys are those of evalkit.run.",
    )
    if bool(config.option.evalkit_baseline) != bool(config.option.evalkit_suite):
        raise pytest.UsageError("--evalkit-baseline and --evalkit-suite go together: give both.")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    """Add a test for each cell of the baseline, and one for the rest."""
    if not config.option.evalkit_baseline:
        return
    from evalkit.gating._baseline import Baseline

    try:
        baseline = Baseline.read(Path(config.option.evalkit_baseline))
    except ConfigError as error:
        raise pytest.UsageError(str(error)) from None
    cells = [(task.task, task.split, cell.model, cell.reranker) for task in baseline.tasks for cell in task.cells]
    named: dict[str, tuple[str, ...] | None] = {
        f"{cell[0]} ({cell[1]}), {cell[2]}, {cell[3]}": cell for cell in cells
    }
    for name, cell in {**named, REST: None}.items():
        items.append(GateItem.from_parent(session, name=name, cell=cell))


class GateItem(pytest.Item):
    """The checks of a gate on one cell of the baseline, or those of no cell."""

    def __init__(self, *, cell: tuple[str, ...] | None, **kwargs: Any) -> None:
        super().__init__(nodeid=f"evalkit::{kwargs['name']}", **kwargs)
        self.cell = cell
        self.extra_keyword_matches.add("gate")  # pytest -k gate

    def runtest(self) -> None:
        """Raise GateError if a check failed or could not be decided; warn of what cannot be told."""
        verdict = verdict_of(self.config)
        checks = [check for check in verdict.checks if _cell_of(check) == self.cell]
        lasting = {"fail", "undecided", *(["warn"] if verdict.strict else [])}
        bad = [check for check in checks if check.outcome in lasting]
        if bad:
            raise GateError(verdict, bad)
        for check in checks:
            if check.outcome in ("warn", "note"):
                warnings.warn(f"{check.name}: {check.reason}", UserWarning, stacklevel=2)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the reasons of the gate, and nothing of its code."""
        if isinstance(excinfo.value, GateError | EvalkitError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Tell where a failure belongs: to the baseline."""
        return Path(self.config.option.evalkit_baseline), None, self.nodeid


class GateError(Exception):
    """Checks of a gate that did not pass; its text is what the gate tells."""

    def __init__(self, verdict: "Verdict", checks: "list[Check]") -> None:
        from evalkit.gating.writing import failure_text

        super().__init__(failure_text(verdict, checks))


def _cell_of(check: "Check") -> tuple[str, ...] | None:
    return None if check.place is None else (*check.place.label, *check.place.old)


def verdict_of(config: pytest.Config) -> "Verdict":
    """Return the verdict of the gate, decided once a process."""
    from evalkit.gating.gate import gate

    if _verdict not in config.stash:
        option = config.option
        with _one_at_a_time(config):
            config.stash[_verdict] = gate(
                option.evalkit_baseline, suite=option.evalkit_suite, policy=option.evalkit_policy,
                strict=option.evalkit_strict,
            )  # fmt: skip
    return config.stash[_verdict]


@contextmanager
def _one_at_a_time(config: pytest.Config) -> Iterator[None]:
    """Under pytest-xdist one worker computes while the others wait, and then find it in the store."""
    run = getattr(config, "workerinput", {}).get("testrunuid")
    if run is None:
        yield
        return
    import fcntl

    with (Path(tempfile.gettempdir()) / f"evalkit-{run}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Hold a marked test's model to the least score of its marker."""
    for marker in item.iter_markers(MARKER):
        least, metric = marker.kwargs.get("min"), marker.kwargs.get("metric")
        if least is None:
            continue
        from evalkit.metrics.metric import name_of

        rows = _scores(item, marker).set_index("metric")
        metric = (
            name_of(metric)
            if metric
            else _results_of(item, marker).main_metric(*rows[["task", "split"]].iloc[0]).name
        )
        if metric not in rows.index:
            pytest.fail(f"evalkit: there is no {metric!r}; there are {', '.join(rows.index)}.", pytrace=False)
        row = rows.loc[metric]
        if not row["score"] >= least:
            name = ", ".join(str(marker.kwargs[key]) for key in ("model", "reranker", "task") if key in marker.kwargs)
            pytest.fail(
                f"evalkit: {name}: {metric} is {row['score']:.4f} (95 % interval {row['ci_low']:.4f} to "
                f"{row['ci_high']:.4f}, {row['n']} queries or pairs), and must be at least {least:g}.",
                pytrace=False,
            )


@pytest.fixture
def evalkit_scores(request: pytest.FixtureRequest) -> Mapping[str, float]:
    """Return the scores of the marked test's model by metric, fractions: those of its nearest `evalkit` marker."""
    marker = request.node.get_closest_marker(MARKER)
    if marker is None:
        raise pytest.UsageError("evalkit_scores needs @pytest.mark.evalkit(task=..., model=...) on the test.")
    scores = _scores(request.node, marker)
    return dict(zip(scores["metric"], scores["score"], strict=True))


def _scores(item: pytest.Item, marker: pytest.Mark) -> Any:
    """Return the scores of the marker's cell: a frame with metric, score, ci_low, ci_high and n."""
    scores = _results_of(item, marker).scores
    return scores[scores["reranker"] == marker.kwargs.get("reranker", NO_RERANKER)]


def _results_of(item: pytest.Item, marker: pytest.Mark) -> "Results":
    """Return the results of the marker's cell, computed once in a session."""
    keys = {key: value for key, value in marker.kwargs.items() if key not in ("min", "metric")}
    missing = [key for key in ("task", "model") if key not in keys]
    if missing or marker.args:
        pytest.fail("evalkit: the marker needs task=... and model=..., by name.", pytrace=False)
    stash = item.config.stash
    known = stash.setdefault(_results, {})
    key = repr(sorted(keys.items()))
    if key not in known:
        try:
            with _one_at_a_time(item.config):
                known[key] = _run(stash.setdefault(_models, {}), **keys)
        except EvalkitError as error:
            pytest.fail(f"evalkit: {error}", pytrace=False)
    return known[key]


def _run(built: dict[str, Any], *, task: str, model: str, reranker: str = NO_RERANKER, **keys: Any) -> "Results":
    """Return the results of a cell. A model is built once: `built` has those that were. Raises EvalkitError."""
    from evalkit.compute import choose_compute
    from evalkit.models.registry.selection import choose
    from evalkit.runner.run import run
    from evalkit.spending import Spending

    compute = choose_compute(keys.get("device", "auto"), keys.get("dtype", "float32"))
    for name in {model, reranker} - {NO_RERANKER}:
        if name not in built:
            chosen = choose([name], {"embedder", "retriever", "reranker"})
            if len(chosen) > 1:
                raise ConfigError(f"{name!r} stands for {len(chosen)} models; a marker takes one.")
            built[name] = next(iter(chosen.values())).load(compute, Spending(keys.get("max_cost")))
    rerankers = [] if reranker == NO_RERANKER else [(reranker, built[reranker])]
    results = run(models=[(model, built[model])], tasks=[task], rerankers=[NO_RERANKER, *rerankers], **keys)
    if results.failures:
        raise ConfigError(f"{model} has no score on {task}: {results.failures[0]['reason']}")
    return results
