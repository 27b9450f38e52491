"""What is released: the wheel alone runs the demo's tasks, outside of the checkout."""

import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

from evalkit import __version__

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_the_wheel_holds_the_package_its_types_and_its_tasks(built):
    names = set(ZipFile(built[0]).namelist())
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "evalkit").rglob("*")
        if path.suffix in (".py", ".yaml", ".js", ".css", ".html", ".j2", ".typed")
    }
    assert names >= package | {
        "evalkit/py.typed",
        "evalkit/bundled_tasks/rag-mini/task.yaml",
        "evalkit/bundled_tasks/suites/demo.yaml",
    }
    assert not [name for name in names if not name.startswith(("evalkit/", "evalkit_embeddings-"))]


def test_the_sdist_holds_what_builds_and_tests_it(built):
    with tarfile.open(built[1]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "tests/conftest.py",
        "tasks/rag-mini/task.yaml",
    }


@pytest.mark.slow
def test_it_runs_outside_of_the_checkout(built, tmp_path):
    """In an environment of its own, which borrows the packages that evalkit needs, but not evalkit."""
    venv.create(tmp_path / "venv", with_pip=True, symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(built[0])],
        check=True,
        capture_output=True,
    )
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "borrowed.pth").write_text(sysconfig.get_paths()["purelib"])
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "EVALKIT"))}
    environment["EVALKIT_STORE"] = str(tmp_path / "store")

    def run(*command):
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = run(python, "-c", "import evalkit; print(evalkit.__file__)")
    assert Path(where.strip()).is_relative_to(site)
    hint = "from evalkit.installed import install_line; print(install_line('words', 'gensim'))"
    assert run(python, "-c", hint) == "pip install 'gensim>=4.4' 'model2vec>=0.10' 'tokenizers>=0.20'\n"
    assert run(python, "-m", "evalkit", "--version") == f"evalkit {__version__}\n"
    evalkit = tmp_path / "venv" / "bin" / "evalkit"
    assert "rag-mini" in run(evalkit, "tasks")
    run(
        evalkit,
        "run",
        "demo",
        "--models",
        "bm25,tfidf",
        "--rerankers",
        "bm25",
        "--max-queries",
        "20",
        "--out",
        "demo",
    )
    assert (tmp_path / "demo" / "leaderboard.md").is_file()
