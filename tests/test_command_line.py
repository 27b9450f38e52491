"""What the command line says of itself: help, version, completion; and what a terminal that lacks letters shows."""

import os
import subprocess
import sys

import pytest
import typer

from evalkit import __version__, cli

WIDTH = 80


def command_paths(command, path=()):
    """The names of a command and of all below it."""
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from command_paths(inner, (*path, name))


COMMANDS = list(command_paths(typer.main.get_command(cli.app)))


def run(*command, **variables):
    done = subprocess.run(
        command, capture_output=True, check=False, timeout=120,
        env={**os.environ, "COLUMNS": str(WIDTH), **variables},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def _width(monkeypatch):
    monkeypatch.setenv("COLUMNS", str(WIDTH))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_fits_the_terminal_and_no_line_is_cut(evalkit, path):
    status, shown, errors = evalkit(*path, "--help")
    assert (status, errors) == (0, "")
    assert shown.startswith("Usage: evalkit ")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage")]
    assert evalkit(*path, "-h") == (0, shown, "")


def test_the_version(evalkit):
    assert evalkit("--version") == (0, f"evalkit {__version__}\n", "")


def test_as_a_module():
    assert run(sys.executable, "-m", "evalkit", "--version") == (0, f"evalkit {__version__}\n".encode(), b"")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell):
    """What the shell asks is answered with commands and options, and the script that asks can be shown."""
    ask = [sys.executable, "-m", "evalkit"]
    asked = {"_EVALKIT_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "evalkit st", "COMP_CWORD": "1"}
    status, shown, _ = run(*ask, **asked, COMP_WORDS="evalkit st", _TYPER_COMPLETE_FISH_ACTION="get-args")
    assert (status, b"store" in shown) == (0, True)
    status, shown, _ = run(*ask, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (status, b"_EVALKIT_COMPLETE" in shown) == (0, True)


UNSHOWN = """
import sys
from evalkit import cli

for arguments in {commands!r}:
    sys.argv = ["evalkit", *arguments]
    try:
        cli.main()
    except SystemExit as exit:
        print("status", exit.code)
"""


@pytest.mark.parametrize(
    "encoding",
    [*(pytest.param(name, marks=pytest.mark.slow) for name in ("ascii", "cp1252", "latin-1")), "ascii:strict"],
)
def test_a_terminal_that_lacks_letters_shows_the_rest(encoding, tmp_path):
    """Names, texts, signs in tables, tags and errors that it cannot print: no traceback, and the files are whole."""
    pets = tmp_path / "Tiere 動物 café"
    pets.mkdir()
    (pets / "corpus.jsonl").write_text(
        '{"_id": "ä", "text": "Die Katze schläft."}\n{"_id": "犬", "text": "犬は走る。"}\n'
    )
    (pets / "queries.jsonl").write_text('{"_id": "猫", "text": "Katze"}\n{"_id": "2", "text": "犬"}\n')
    (pets / "qrels").mkdir()
    (pets / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\n猫\tä\t1\n2\t犬\t1\n")
    out = str(tmp_path / "ausgabe ≈")
    commands = [
        ["run", "--models", "bm25,bow", "--tasks", str(pets), "--top-k", "1", "--rerankers", "bm25", "--out", out],
        ["run", "--models", "bm25", "--tasks", str(pets), "--dry-run"],
        ["run", "--models", "böw", "--tasks", str(pets)],
        ["compare", out, out],
        ["models", "bm25"],
        ["tasks"],
        ["--help"],
        ["run", "--help"],
    ]
    status, shown, errors = run(
        sys.executable, "-c", UNSHOWN.format(commands=commands), PYTHONIOENCODING=encoding, LC_ALL="C",
        EVALKIT_STORE=str(tmp_path / "store"),
    )  # fmt: skip
    assert status == 0, errors
    assert b"Traceback" not in errors
    statuses = [line.split()[1] for line in shown.splitlines() if line.startswith(b"status")]
    assert statuses == [b"0", b"0", b"2", b"0", b"0", b"0", b"0", b"0"], errors
    name = encoding.partition(":")[0]
    assert b"unknown model" in errors
    assert "95 % intervals" in shown.decode(name, "replace")
    assert ("Tiere ?? café" if name != "ascii" else "Tiere ?? cafe") in shown.decode(name, "replace")
    assert "Tiere 動物 café" in (tmp_path / "ausgabe ≈" / "leaderboard.md").read_text(encoding="utf-8")
