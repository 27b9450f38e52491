"""Measure two or more ways of doing one thing in turn, A B A B, and tell medians and ratios.

Machines are shared and noisy: a ratio of medians from one run is worth quoting, a time alone is not.
"""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

REPORTS = Path(__file__).resolve().parents[1] / "reports" / "benchmarks"
PACKAGES = ("numpy", "torch", "transformers", "sentence-transformers", "faiss-cpu", "mteb", "llama-index-core",
            "pytrec-eval-terrier", "ranx")  # fmt: skip


def data_dir() -> Path:
    """The folder of real data sets: $EVALKIT_DATA, or ../shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("EVALKIT_DATA", default))


def measure(ways: Mapping[str, Callable[[], object]], rounds: int, warm_up: bool = True) -> dict[str, list[float]]:
    """Seconds of each way, `rounds` times in turn; first once each, not counted, if `warm_up`."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(-1 if warm_up else 0, rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_number >= 0:
                seconds[name].append(time.perf_counter() - started)
    return seconds


def table(seconds: Mapping[str, list[float]], ours: str) -> list[dict[str, object]]:
    """A row a way: median, minimum and maximum seconds, and how many times as long as ours its median is."""
    base = statistics.median(seconds[ours])
    return [
        {
            "way": name,
            "median_s": round(statistics.median(times), 4),
            "min_s": round(min(times), 4),
            "max_s": round(max(times), 4),
            "times_ours": round(statistics.median(times) / base, 2),
        }
        for name, times in seconds.items()
    ]


def report(name: str, parts: Mapping[str, list[dict[str, object]]], notes: Mapping[str, object]) -> None:
    """Print the tables and write them, with what the machine and the packages were, to reports/benchmarks."""
    for title, rows in parts.items():
        print(f"\n{title}")
        columns = list(dict.fromkeys(key for row in rows for key in row))
        cells = [[str(row.get(column, "")) for column in columns] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for line in [columns, *cells]:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    for key, value in notes.items():
        print(f"{key}: {value}")
    REPORTS.mkdir(parents=True, exist_ok=True)
    content = {"benchmark": name, "machine": _machine(), "notes": dict(notes), **parts}
    (REPORTS / f"{name}.json").write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _machine() -> dict[str, object]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cores": cores, "processor": platform.machine(), "python": platform.python_version(), "packages": found}
