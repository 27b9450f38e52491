"""The cost model of docs/scale.md: its constants measured, its predictions held to runs of 1, 4 and 16 times a size.

    seconds = overhead + operations / rate

Operations are floating-point operations: of a transformer's weight matrices and attention by each text's tokens
(encode, rerank), of a dot product of every query with every document (search). Overhead and rate are fitted to
runs of 1/2, 2 and 8 times a base; runs of 1, 4 and 16 times the base, on other texts, are predicted from their tokens
and counts alone. All are run in turn. It fails if a prediction is off by more than 20 %.

Texts are beginnings of 10-K passages, 10 to 120 words long. `--table` prints the table of docs/scale.md, from what
was measured before and from what it says is assumed of GPUs.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import nnls
from side_by_side import REPORTS, data_dir, report
from transformer import Shape

DIM, QUERIES, TOP = 384, 200, 100
SIZES, CALIBRATION = (1, 4, 16), (0.5, 2, 8)
ROUNDS, SECONDS = 3, 45
"""Each input is run so often, and until so many seconds have gone."""
ALLOWED = 0.2


MINILM, BASE = Shape(6, 384, 1536), Shape(12, 768, 3072)


@dataclass(frozen=True)
class Step:
    """A step: `base` of `what` at size 1, made by `make(count, seed)`, with its operations and how it is done."""

    what: str
    base: int
    make: Callable[[int, int], Any]
    operations: Callable[[Any], float]
    do: Callable[[Any], object]

    def inputs(self) -> dict[float, Any]:
        """An input for each size, no two of the same texts."""
        return {size: self.make(int(self.base * size), round(10 * size)) for size in (*CALIBRATION, *SIZES)}

    def measured(self, inputs: Mapping[float, Any]) -> dict[float, float]:
        """Median seconds by size, of runs in turn."""
        seconds: dict[float, list[float]] = {size: [] for size in inputs}
        self.do(inputs[SIZES[0]])
        began = time.perf_counter()
        while len(seconds[SIZES[0]]) < ROUNDS or time.perf_counter() - began < SECONDS:
            for size, given in inputs.items():
                started = time.perf_counter()
                self.do(given)
                seconds[size].append(time.perf_counter() - started)
        return {size: statistics.median(took) for size, took in seconds.items()}

    def table(self) -> tuple[float, float, list[dict[str, object]]]:
        """Overhead in seconds, operations a second, and a row a size: what is predicted, and what was measured."""
        inputs = self.inputs()
        seconds = self.measured(inputs)
        operations = {size: self.operations(given) for size, given in inputs.items()}
        overhead, rate = fit([operations[size] for size in CALIBRATION], [seconds[size] for size in CALIBRATION])
        rows: list[dict[str, object]] = []
        for size in SIZES:
            predicted = overhead + operations[size] / rate
            rows.append(
                {
                    "size": f"{self.base * size:,} {self.what}",
                    "operations": f"{operations[size]:.3g}",
                    "predicted_s": round(predicted, 3),
                    "measured_s": round(seconds[size], 3),
                    "off_by_percent": round(100 * (predicted / seconds[size] - 1), 1),
                }
            )
        return overhead, rate, rows


def fit(operations: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Overhead and operations a second, both at least 0, whose relative errors are least."""
    unit = max(operations)  # so that both unknowns are near 1
    left = [[1 / took, count / unit / took] for count, took in zip(operations, seconds, strict=True)]
    overhead, inverse = nnls(np.array(left), np.ones(len(left)))[0]
    return float(overhead), float(unit / inverse)


def texts_of(passages: Sequence[str], count: int, seed: int) -> list[str]:
    """Beginnings of passages, of 10 to 120 words."""
    rng = np.random.default_rng(seed)
    rows, lengths = rng.integers(len(passages), size=count), rng.integers(10, 121, size=count)
    return [" ".join(passages[row].split()[:length]) for row, length in zip(rows, lengths, strict=True)]


def steps(device: str) -> dict[str, Step]:
    """All of them, with their models loaded."""
    from evalkit.compute import Compute
    from evalkit.models.registry import build, resolve
    from evalkit.search.exact import search
    from evalkit.tasks import load_task

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
            60,
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
            30,
            pairs,
            lambda given: read(reranker.pair_tokens(*given), reranker.max_tokens),
            lambda given: reranker.score(*given),
        ),
        "tokenise": Step(
            "documents",
            2_000,
            lambda count, seed: texts_of(passages, count, seed),
            lambda texts: float(sum(map(len, texts))),
            lambda texts: embedder.tokens(texts, "document"),
        ),
    }


def measure(device: str) -> None:
    """Measure, print and write reports/benchmarks/scale.json."""
    parts: dict[str, list[dict[str, object]]] = {"constants": []}
    for name, step in steps(device).items():
        overhead, rate, rows = step.table()
        parts["constants"].append({"step": name, "overhead_s": round(overhead, 4), "rate": float(f"{rate:.3g}")})
        parts[name] = rows
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
    """Minutes by corpus, model and number of GPUs, in Markdown."""
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
                each = (encode / gpus, load + commit, search / gpus, rerank / gpus, whole)
                cells = " | ".join(f"{seconds / 60:,.1f}" for seconds in each)
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
