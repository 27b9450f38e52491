"""Many runs in one process keep memory flat."""

import gc
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeReranker, write_retrieval_task

import evalkit
from evalkit.models.dense import DenseEmbedder
from evalkit.registry import parse_spec

WARM_UP, RUNS = 100, 500
MAY_GROW = 8e6
"""Bytes, over 400 runs: 20 KB a run."""
STATM = Path("/proc/self/statm")


class Lengths(DenseEmbedder):
    """Vectors made of the letters' numbers."""

    def __init__(self):
        super().__init__(parse_spec("sbert:lengths").options, {"family": "lengths"})

    def raw(self, texts, prompt, advance):
        return np.array([[len(text), *map(ord, text[:7])] for text in texts], dtype=np.float32)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(STATM.read_text().split()[1]) * 4096


@pytest.mark.skipif(not STATM.exists(), reason="no /proc: resident memory cannot be read")
def test_500_runs(tmp_path):
    corpus = {f"d{row}": f"{row} is the number of this document" for row in range(10)}
    queries = {"q1": "1 is a number", "q2": "2 is a number"}
    task = write_retrieval_task(tmp_path / "task", corpus, queries, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    keys = {"models": [("own", Lengths())], "rerankers": [("fake", FakeReranker())], "top_k": 1, "device": "cpu"}
    sizes = []
    for number in range(RUNS):
        written = {"out": tmp_path / "out"} if number % 100 == 0 else {}
        results = evalkit.run(tasks=task, store=tmp_path / "store", **keys, **written)
        assert not results.failures
        if number >= WARM_UP and number % 50 == 49:
            sizes.append(resident())
    assert max(sizes[-2:]) - sizes[0] < MAY_GROW, [f"{size / 1e6:.1f} MB" for size in sizes]
