"""Ctrl-C in the middle of a run: what was finished is kept, and says that it is partial."""

import json

import numpy as np
import pytest

import evalkit as package
from evalkit.results import Results
from evalkit.runner.run import Interrupted


class StoppedByTheUser:
    """A reranker at which the user loses patience."""

    def __init__(self):
        self.identity = {"family": "test", "name": "stopped"}

    def score(self, queries, documents, advance=None):
        raise KeyboardInterrupt


def test_the_finished_cells_are_written_and_the_others_named(tmp_path):
    keys = {"models": ["bm25", "tfidf"], "tasks": "rag-mini", "max_queries": 5, "device": "cpu"}
    with pytest.raises(Interrupted) as caught:
        package.run(**keys, rerankers=[("stopped", StoppedByTheUser())], out=tmp_path / "partial")
    partial = Results.read(tmp_path / "partial")
    assert [(cell["model"], cell["reranker"]) for cell in partial.missing] == [
        ("bm25", "stopped"),
        ("tfidf", "stopped"),
    ]
    assert partial.missing == caught.value.results.missing
    whole = package.run(**keys)
    assert whole.missing == []
    np.testing.assert_array_equal(partial.scores["score"], whole.scores["score"])
    board = (tmp_path / "partial" / "leaderboard.md").read_text()
    titles = [line for line in board.splitlines() if line.startswith("###")]
    assert titles
    assert all("PARTIAL" in title for title in titles)
    assert json.loads((tmp_path / "partial" / "run.json").read_text())["missing"] == partial.missing


def test_the_command_says_so_and_exits_with_130(evalkit, tmp_path, monkeypatch):
    from evalkit.models import lexical

    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(lexical.Tfidf, "encode", stop)
    arguments = ("--models", "bm25,tfidf", "--tasks", "rag-mini", "--max-queries", "5", "--no-store")
    status, out, err = evalkit("run", *arguments, "--out", tmp_path)
    assert status == 130
    assert "PARTIAL" in out
    assert "partial leaderboard" in err
    assert [cell["model"] for cell in Results.read(tmp_path).missing] == ["tfidf"]
