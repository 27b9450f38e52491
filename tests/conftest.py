"""Fixtures shared by the whole suite."""

import gc
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from evalkit import cli

ROOT = Path(__file__).resolve().parents[1]
NO_REAL_DATA = "no real data"

os.environ.setdefault("HF_HUB_OFFLINE", "1")
# ranx, a peer that results are held to, compiles for most of a minute with numba; interpreted it is exact too.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")
# The cores are shared out among the processes that run tests, and to what they start.
if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // int(workers))))
os.environ.setdefault("EVALKIT_DATA", str(ROOT.parent / "shared" / "data"))


# Machines that run tests are busy: how long an example takes tells nothing of it.
hypothesis.settings.register_profile("busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("busy")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data sets; tests that need it skip where it is not there."""
    folder = Path(os.environ["EVALKIT_DATA"])
    if not folder.is_dir():
        pytest.skip(f"{NO_REAL_DATA}: {folder} is not a folder (set EVALKIT_DATA)")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say aloud how many tests found no real data: a suite that skips them has not shown that numbers are right."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if NO_REAL_DATA in str(report.longrepr)]
    if skipped:
        terminalreporter.section("real data is missing", yellow=True, bold=True)
        terminalreporter.write_line(
            f"{len(skipped)} tests did not run: EVALKIT_DATA ({os.environ['EVALKIT_DATA']}) is not a folder. "
            "tests/README.md says what it holds."
        )


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is imported for the tests stays to the end: the garbage collector need not look through it ever again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, so that no process is still busy with one when the others have ended."""
    first = ("with_mteb", "test_pick.py", "measure", "gating", "test_readme.py", "metrics", "hostile", "faults")
    places = {name: place for place, name in enumerate(first)}
    items.sort(key=lambda item: min((places[part] for part in item.path.parts if part in places), default=len(first)))


@pytest.fixture(scope="session", autouse=True)
def _shared_store(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One fresh store for the whole suite: nothing of the user's is read, and tests share what they compute."""
    folder = tmp_path_factory.getbasetemp()
    of_all = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    os.environ["EVALKIT_STORE"] = str(of_all / "store")


@pytest.fixture
def evalkit(monkeypatch, capsys):
    """Calls the command line: exit status, standard output, standard error."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["evalkit", *map(str, arguments)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return call


@pytest.fixture
def mounted(tmp_path: Path):
    """Mounts a file system in memory of a size on a new folder; skips where that is not allowed."""
    folders = []

    def mount(options: str) -> Path:
        folder = tmp_path / f"mounted{len(folders)}"
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("no mount on this machine")
        if done.returncode:
            pytest.skip("mounting is not allowed here")
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium: one on PATH, else Playwright's own. Skips where there is neither.

    For a module, not the session: while it is open, no other test of the process can run an event loop.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with playwright.sync_playwright() as started:
        names = ("chromium", "chromium-browser", "google-chrome")
        found = next((path for name in names if (path := shutil.which(name))), None)
        own = Path(started.chromium.executable_path)
        if found is None and not own.exists():
            pytest.skip("no Chromium: install the package chromium, or run `playwright install chromium`")
        launched = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()
