"""The cost model of docs/scale.md: its constants measured, its predictions held to runs of 1, 4 and 16 times a size.

    encode   seconds = operations(documents) / rate of the embedder
    search   seconds = multiplications and additions / rate of the search, over the corpus's vectors in memory
    rerank   seconds = operations(pairs) / rate of the reranker

Operations are those of `encode.operations`: of a transformer's weight matrices and attention, by each text's tokens.
The rates are measured on other texts (other seeds) of the middle size, the median of three; then each size is
predicted from its tokens alone, and run. Texts are beginnings of 10-K passages, 10 to 120 words long.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from encode import operations
from side_by_side import data_dir, report

from evalkit.compute import Compute
from evalkit.registry import build, resolve
from evalkit.search.exact import search
from evalkit.suite import load_task

LAYERS, HIDDEN, INNER = 6, 384, 1536
"""Of all-MiniLM-L6-v2 and of the cross-encoder alike."""
DIM, QUERIES, TOP = 384, 200, 100
SIZES = (1, 4, 16)
ROUNDS = 3
ALLOWED = 0.2


@dataclass(frozen=True)
class Step:
    """A step: `base` of `what` at size 1, made by `make(count, seed)`, with its operations and how it is done."""

    what: str
    base: int
    make: Callable[[int, int], Any]
    operations: Callable[[Any], float]
    do: Callable[[Any], object]

    def seconds(self, given: Any) -> float:
        """Seconds that it takes."""
        started = time.perf_counter()
        self.do(given)
        return time.perf_counter() - started

    def rate(self) -> float:
        """Operations a second: the median over inputs of the middle size, after one that is not counted."""
        inputs = [self.make(self.base * SIZES[1], seed) for seed in range(1, 1 + ROUNDS)]
        self.do(inputs[0])
        return statistics.median(self.operations(each) / self.seconds(each) for each in inputs)

    def rows(self, rate: float) -> list[dict[str, object]]:
        """A row a size: predicted and measured seconds (the median), and by how much the first is off."""
        found: list[dict[str, object]] = []
        for size in SIZES:
            given = self.make(self.base * size, 50 + size)
            predicted = self.operations(given) / rate
            took = statistics.median(self.seconds(given) for _ in range(ROUNDS))
            off = round(100 * (predicted / took - 1), 1)
            row = {"size": f"{self.base * size:,} {self.what}", "operations": f"{self.operations(given):.3g}"}
            found.append(
                {**row, "predicted_s": round(predicted, 3), "measured_s": round(took, 3), "off_by_percent": off}
            )
        return found


def texts_of(passages: Sequence[str], count: int, seed: int) -> list[str]:
    """Beginnings of passages, of 10 to 120 words."""
    rng = np.random.default_rng(seed)
    rows, lengths = rng.integers(len(passages), size=count), rng.integers(10, 121, size=count)
    return [" ".join(passages[row].split()[:length]) for row, length in zip(rows, lengths, strict=True)]


def of_tokens(tokens: np.ndarray, limit: int | None) -> float:
    """Operations over texts that are cut at a limit."""
    return operations(np.minimum(tokens, limit or tokens.max()), HIDDEN, LAYERS, INNER)


def steps(compute: Compute) -> dict[str, Step]:
    """All three, with their models loaded."""
    passages = [document.text for document in load_task(str(data_dir() / "llamaindex-10k-val")).corpus]
    embedder = build(resolve("all-MiniLM-L6-v2"), compute)
    reranker = build(resolve(f"cross-encoder:{(data_dir() / 'ce-minilm').resolve()}"), compute)
    similarity = "cosine"

    def pairs(count: int, seed: int) -> tuple[list[str], list[str]]:
        return [text[:60] for text in texts_of(passages, count, seed + 100)], texts_of(passages, count, seed)

    def vectors(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
        rng = np.random.default_rng(seed)
        corpus, queries = (rng.standard_normal((rows, DIM), dtype=np.float32) for rows in (count, QUERIES))
        return queries, corpus, [f"{row:07}" for row in range(count)]

    return {
        "encode": Step(
            "documents",
            125,
            lambda count, seed: texts_of(passages, count, seed),
            lambda texts: of_tokens(embedder.tokens(texts, "document"), embedder.max_tokens),
            lambda texts: embedder.encode(texts, "document"),
        ),
        "search": Step(
            f"documents, {QUERIES} queries",
            40_000,
            vectors,
            lambda given: 2.0 * given[0].size * len(given[1]),
            lambda given: search(*given, similarity, TOP, compute.device),
        ),
        "rerank": Step(
            "pairs",
            60,
            pairs,
            lambda given: of_tokens(reranker.pair_tokens(*given), reranker.max_tokens),
            lambda given: reranker.score(*given),
        ),
    }


def main() -> None:
    """Measure, print and write reports/benchmarks/scale.json; fail if a prediction is off by more than 20 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parts, rates = {}, {}
    for name, step in steps(Compute(parser.parse_args().device)).items():
        rate = step.rate()
        parts[name] = step.rows(rate)
        rates[f"{name}: operations a second"] = f"{rate:.3g}"
    report("scale", parts, rates)
    off = [row for rows in parts.values() for row in rows if abs(float(str(row["off_by_percent"]))) > 100 * ALLOWED]
    if off:
        raise SystemExit(f"off by more than {ALLOWED:.0%}: {off}")


if __name__ == "__main__":
    main()
