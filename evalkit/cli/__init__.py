"""The command line: it parses what was typed, calls one function of evalkit, prints, and sets the exit status."""

from evalkit.cli._command_line import app, main

__all__ = ["app", "main"]
