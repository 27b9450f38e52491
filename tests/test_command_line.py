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
