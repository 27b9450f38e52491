"""The cost model of docs/scale.md: its constants measured, its predictions held to runs of 1, 4 and 16 times a size.

    seconds = overhead + operations / rate

Operations are floating-point operations: of a transformer's weight matrices and attention by each text's tokens
(encode, rerank), of a dot product of every query with every document (search). Overhead and rate are measured with
other texts of other sizes, 2 and 8 times the base (medians); then 1, 4 and 16 times the base are predicted from their
tokens and counts alone, and run. It fails if a prediction is off by more than 20 %.

Texts are beginnings of 10-K passages, 10 to 120 words long. `--table` prints the table of docs/scale.md, from what
was measured before and from what it says is assumed of GPUs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from side_by_side import REPORTS, data_dir, report

DIM, QUERIES, TOP = 384, 200, 100
SIZES, CALIBRATION = (1, 4, 16), (2, 8)
ROUNDS = 3
ALLOWED = 0.2


@dataclass(frozen=True)
class Shape:
    """A transformer: layers, hidden size, inner size of its feed-forward layers."""

    layers: int
    hidden: int
    inner: int

    def operations(self, tokens: np.ndarray) -> float:
        """Floating-point operations over texts of so many tokens each: products with weights, and attention."""
        weights = self.layers * (4 * self.hidden**2 + 2 * self.hidden * self.inner)
        attention = self.layers * 4 * self.hidden
        return float(2 * weights * tokens.sum() + attention * (tokens.astype(float) ** 2).sum())


MINILM, BASE = Shape(6, 384, 1536), Shape(12, 768, 3072)


@dataclass(frozen=True)
class Step:
    """A step: `base` of `what` at size 1, made by `make(count, seed)`, with its operations and how it is done."""

    what: str
    base: int
    make: Callable[[int, int], Any]
    operations: Callable[[Any], float]
    do: Callable[[Any], object]

    def seconds(self, given: Any) -> float:
        """Seconds that it takes, the median of several times."""
        took = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            self.do(given)
            took.append(time.perf_counter() - started)
        return statistics.median(took)

    def constants(self) -> tuple[float, float]:
        """Overhead in seconds, and operations a second."""
        small, large = (self.make(self.base * size, size) for size in CALIBRATION)
        self.do(small)
        (fewer, more), (shorter, longer) = ([of(small), of(large)] for of in (self.operations, self.seconds))
        rate = (more - fewer) / (longer - shorter)
        return shorter - fewer / rate, rate

    def rows(self, overhead: float, rate: float) -> list[dict[str, object]]:
        """A row a size: predicted and measured seconds, and by how much the first is off."""
        found: list[dict[str, object]] = []
        for size in SIZES:
            given = self.make(self.base * size, 50 + size)
            predicted, took = overhead + self.operations(given) / rate, self.seconds(given)
            found.append(
                {
                    "size": f"{self.base * size:,} {self.what}",
                    "operations": f"{self.operations(given):.3g}",
                    "predicted_s": round(predicted, 3),
                    "measured_s": round(took, 3),
                    "off_by_percent": round(100 * (predicted / took - 1), 1),
                }
            )
        return found


def texts_of(passages: Sequence[str], count: int, seed: int) -> list[str]:
    """Beginnings of passages, of 10 to 120 words."""
    rng = np.random.default_rng(seed)
    rows, lengths = rng.integers(len(passages), size=count), rng.integers(10, 121, size=count)
    return [" ".join(passages[row].split()[:length]) for row, length in zip(rows, lengths, strict=True)]


def steps(device: str) -> dict[str, Step]:
    """All of them, with their models loaded."""
    from evalkit.compute import Compute
    from evalkit.registry import build, resolve
    from evalkit.search.exact import search
    from evalkit.suite import load_task

    compute = Compute(device)
    passages = [document.text for document in load_task(str(data_dir() / "llamaindex-10k-val")).corpus]
    embedder: Any = build(resolve("all-MiniLM-L6-v2"), compute)
    reranker: Any = build(resolve(f"ce:{(data_dir() / 'ce-minilm').resolve()}"), compute)

    def read(tokens: np.ndarray, limit: int | None) -> float:
        return MINILM.operations(np.minimum(tokens, limit or tokens.max()))

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
            lambda texts: read(embedder.tokens(texts, "document"), embedder.max_tokens),
            lambda texts: embedder.encode(texts, "document"),
        ),
        "search": Step(
            f"documents, {QUERIES} queries",
            40_000,
            vectors,
            lambda given: 2.0 * given[0].size * len(given[1]),
            lambda given: search(*given, "cosine", TOP, device),
        ),
        "rerank": Step(
            "pairs",
            60,
            pairs,
            lambda given: read(reranker.pair_tokens(*given), reranker.max_tokens),
            lambda given: reranker.score(*given),
        ),
        "tokenise": Step(
            "documents",
            500,
            lambda count, seed: texts_of(passages, count, seed),
            lambda texts: float(sum(map(len, texts))),
            lambda texts: embedder.tokens(texts, "document"),
        ),
    }


def measure(device: str) -> None:
    """Measure, print and write reports/benchmarks/scale.json."""
    parts: dict[str, list[dict[str, object]]] = {"constants": []}
    for name, step in steps(device).items():
        overhead, rate = step.constants()
        parts["constants"].append({"step": name, "overhead_s": round(overhead, 4), "rate": float(f"{rate:.3g}")})
        parts[name] = step.rows(overhead, rate)
    report("scale", parts, {"rate": "operations a second; of tokenise, characters a second"})
    predicted = [row for rows in parts.values() for row in rows if "off_by_percent" in row]
    off = [row for row in predicted if abs(float(str(row["off_by_percent"]))) > 100 * ALLOWED]
    if off:
        raise SystemExit(f"off by more than {ALLOWED:.0%}: {off}")


GPU_RATES = {"MiniLM-L6": 30e12, "BERT-base": 100e12}
"""Operations a second in bfloat16, ASSUMED: 3 % and 10 % of the 989e12 that an H100's maker names as its peak."""
GPU_SEARCH_RATE = 20e12
"""In float32, ASSUMED: 30 % of the 67e12 that its maker names."""
SHAPES = {"MiniLM-L6": MINILM, "BERT-base": BASE}
CORPORA = {"MS MARCO, 8.8 M": 8_841_823, "100 M": 100_000_000}
GPUS = (1, 8, 64)
PASSAGE_TOKENS, PAIR_TOKENS, ASKED, RERANKED = 75, 90, 6_980, 100


def table() -> str:
    """Hours by corpus, model and number of GPUs, in Markdown."""
    streamed = json.loads((REPORTS / "streaming.json").read_text())["steps"]
    of = {row["step"]: row["1,000,000: s"] / 1e6 for row in streamed}
    lines = [
        "| corpus | model | GPUs | encode | evalkit's own | search | rerank | all | store |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for corpus, documents in CORPORA.items():
        for model, shape in SHAPES.items():
            size = shape.hidden / DIM
            encode = documents * shape.operations(np.array([PASSAGE_TOKENS])) / GPU_RATES[model]
            rerank = ASKED * RERANKED * shape.operations(np.array([PAIR_TOKENS])) / GPU_RATES[model]
            load, commit = documents * of["load"], documents * size * (of["encode"] - of["search"])
            product = 2 * ASKED * documents * shape.hidden / GPU_SEARCH_RATE
            search = documents * size * (of["search"] - of["load"]) + product
            stored = documents * (4 * shape.hidden + 20) / 1e9
            for gpus in GPUS:
                whole = load + max(encode / gpus, commit) + search / gpus + rerank / gpus
                hours = (encode / gpus, load + commit, search / gpus, rerank / gpus, whole)
                cells = " | ".join(f"{seconds / 3600:.2f} h" for seconds in hours)
                lines.append(f"| {corpus} | {model} | {gpus} | {cells} | {stored:,.0f} GB |")
    return "\n".join(lines)


def main() -> None:
    """Measure, or print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--table", action="store_true", help="print the table of docs/scale.md")
    asked = parser.parse_args()
    if asked.table:
        print(table())
    else:
        measure(asked.device)


if __name__ == "__main__":
    main()
