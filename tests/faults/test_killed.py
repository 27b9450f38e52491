"""Kill -9 at random moments of a grid: the next run goes on, and ends as if nothing had been."""

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from fakes import write_retrieval_task

from evalkit.errors import ConfigError
from evalkit.results import Results
from evalkit.runner.run import run
from evalkit.store import Store

SEED = 8
GRIDS = 10
SECONDS = {"start": 0.02, "encoding": 0.06, "committing": 0.1, "reranking": 0.3, "writing": 0.5, "reporting": 0.4}
"""A kill comes at a random moment of so long a time after the phase began."""
KILLS = ("start", *["encoding"] * 3, "committing", *["reranking"] * 2, *["writing"] * 2, "reporting")
TABLES = ("scores.csv", "leaderboard.csv", "leaderboard.md")
PROGRAM = Path(__file__).with_name("killed_grid.py")


@pytest.fixture(scope="module")
def ask():
    """Sends the program a line, and returns its answer."""
    pytest.importorskip("jinja2", reason="no extra `report`")
    with subprocess.Popen(
        [sys.executable, PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:

        def send(**line):
            print(json.dumps(line), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield send
        process.stdin.close()


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    corpus = {f"d{row}": f"document number {row}" for row in range(20)}
    queries = {f"q{row}": f"query {row}" for row in range(5)}
    qrels = {f"q{row}": {f"d{row}": 1} for row in range(5)}
    return write_retrieval_task(tmp_path_factory.mktemp("task") / "numbers", corpus, queries, qrels)


@pytest.fixture(scope="module")
def undisturbed(ask, task, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert ask(folder=str(folder), task=task)["ended"] == [0]
    return folder


@pytest.fixture(scope="module")
def before(task, tmp_path_factory):
    """The results of another run, which are in the way."""
    folder = tmp_path_factory.mktemp("before")
    run(models=["bm25"], tasks=task, top_k=2, device="cpu", out=folder)
    return folder


def tables(folder):
    return [(folder / name).read_bytes() for name in TABLES]


def assert_reads_as_one_run_or_none(folder, runs):
    page = folder / "report.html"
    assert not page.exists() or page.read_bytes().endswith(b"</html>")
    try:
        found = Results.read(folder)
    except ConfigError:
        return "none"
    name = next(name for name, each in runs.items() if found.records.equals(Results.read(each).records))
    assert found.evidence.rankings.equals(Results.read(runs[name]).evidence.rankings)
    for file in TABLES:  # they are written after the results: all are of this run, or not there yet
        assert not (folder / file).exists() or (folder / file).read_bytes() == (runs[name] / file).read_bytes()
    return name


def batches(folder):
    """(process, model, texts or pairs) of each batch that was computed."""
    log = folder / "log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def assert_computed_once_but_for_batches_in_flight(folder, undisturbed):
    """At a kill, only what its process computed last may be lost; it is computed once more then."""
    times = Counter((model, text) for _, model, batch in batches(folder) for text in batch)
    last = {process: (model, batch) for process, model, batch in batches(folder)}
    in_flight = Counter((model, text) for model, batch in last.values() for text in batch)
    assert times.keys() == {(model, text) for _, model, batch in batches(undisturbed) for text in batch}
    for text, count in times.items():
        assert count <= 1 + in_flight[text], f"{text} was computed {count} times"
    return sum(times.values()) - len(times)


@pytest.mark.slow
def test_every_restart_goes_on_and_the_last_ends_as_if_nothing_had_been(ask, task, undisturbed, before, tmp_path):
    chance = random.Random(SEED)
    phases, read, again = Counter(), Counter(), 0
    for number in range(GRIDS):
        folder = tmp_path / str(number)
        shutil.copytree(before, folder / "out")
        for phase in KILLS:
            answer = ask(folder=str(folder), task=task, phase=phase, after=chance.uniform(0, SECONDS[phase]))
            if answer["ended"] == [-9]:
                phases[answer["phase"]] += 1
            runs = {"before": before, "new": undisturbed / "out"}
            read[assert_reads_as_one_run_or_none(folder / "out", runs)] += 1
        while sum(phases.values()) < 10 * (number + 1):  # one had ended before its kill came
            answer = ask(folder=str(folder), task=task, phase="start", after=chance.uniform(0, 0.5))
            phases[answer["phase"]] += answer["ended"] == [-9]
        assert ask(folder=str(folder), task=task)["ended"] == [0]
        assert tables(folder / "out") == tables(undisturbed / "out")
        assert not (folder / "out" / ".unfinished").exists()
        assert [found for _, found in Store(folder / "store").verify()] == ["sound"] * 3
        again += assert_computed_once_but_for_batches_in_flight(folder, undisturbed)
    assert sum(phases.values()) >= 100
    assert min(phases[phase] for phase in SECONDS) >= 2, phases
    assert set(read) >= {"before", "new"}, read
    assert again > 0, "no kill came while a batch was computed: the test shows nothing"


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_on_one_store_and_one_output_folder(ask, task, undisturbed, tmp_path, processes):
    answer = ask(folder=str(tmp_path), task=task, at_once=processes)
    assert answer["ended"] == [0] * processes
    assert tables(tmp_path / "out") == tables(undisturbed / "out")
    assert_reads_as_one_run_or_none(tmp_path / "out", {"new": undisturbed / "out"})
    records = Results.read(tmp_path / "out").records
    assert not records.duplicated(["task", "split", "model", "reranker", "id", "metric"]).any()
    alone, shared = Store(undisturbed / "store"), Store(tmp_path / "store")
    assert [found for _, found in shared.verify()] == ["sound"] * 3
    rows = {info.folder.name: info.rows for info in shared.ls()}
    assert {info.folder.name for info in alone.ls()} == rows.keys()
    log = Counter(json.dumps(text) for _, *text in batches(tmp_path))
    assert sum(rows.values()) == sum(len(json.loads(batch)[1]) * times for batch, times in log.items()), (
        "rows are lost"
    )
    count = len(batches(tmp_path))
    assert ask(folder=str(tmp_path), task=task)["ended"] == [0]
    assert len(batches(tmp_path)) == count, "computed again what is in the store"
