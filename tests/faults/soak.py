"""Many small runs in one process; prints its resident memory, in bytes. Arguments: folder, runs, warm-up."""

import gc
import sys
from pathlib import Path

import numpy as np
from fakes import FakeReranker, write_retrieval_task

import evalkit
from evalkit.models._dense import DenseEmbedder
from evalkit.models.registry import parse_spec


class Lengths(DenseEmbedder):
    """Vectors made of the letters' numbers."""

    def __init__(self):
        super().__init__(parse_spec("sbert:lengths").options, {"family": "lengths"})

    def raw(self, texts, prompt, advance):
        return np.array([[len(text), *map(ord, text[:7])] for text in texts], dtype=np.float32)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def main(folder: Path, runs: int, warm_up: int) -> None:
    corpus = {f"d{row}": f"{row} is the number of this document" for row in range(10)}
    queries = {"q1": "1 is a number", "q2": "2 is a number"}
    task = write_retrieval_task(folder / "task", corpus, queries, {"q1": {"d1": 1}, "q2": {"d2": 1}})
    keys = {"models": [("own", Lengths())], "rerankers": [("fake", FakeReranker())], "top_k": 1, "device": "cpu"}
    for number in range(runs):
        written = {"out": folder / "out"} if number % 100 == 0 else {}
        results = evalkit.run(tasks=task, store=folder / "store", **keys, **written)
        if results.failures:
            raise SystemExit(str(results.failures))
        if number >= warm_up and number % 50 == 49:
            print(resident())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
