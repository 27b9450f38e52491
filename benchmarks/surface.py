"""Predicted latency against measured: cells between the ends of a surface's curves, which its prediction never saw.

Each round measures the ends as `evalkit surface` does (the fewest candidates, the most, the fewest dimensions), then
the cells between them by themselves. What is told of a cell is the median over rounds of predicted over measured
time. Run it on a machine that does nothing else: what is compared was measured some seconds apart.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from side_by_side import data_dir, report

from evalkit.curves._latency import LATENCIES, measure_ends
from evalkit.curves._points import KEYS
from evalkit.curves._variants import variants_of, with_variants
from evalkit.models.registry.selection import Participants
from evalkit.models.weights import at_hand
from evalkit.results.records import CELL_KEYS
from evalkit.runner.config import read_config
from evalkit.runner.measure import Limits, measure
from evalkit.runner.run import load_tasks, open_context, participants_of

FEWEST, BETWEEN, MOST = 5, (10, 20), 40
TARGET = 0.2


def main() -> None:
    """Measure, predict and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=20)
    rounds, queries = (parsed := parser.parse_args()).rounds, parsed.queries
    data = data_dir()
    static = f"static:{data / 'potion-base-4m-int8'}"
    minilm = f"sbert:{at_hand('sentence-transformers/all-MiniLM-L6-v2')}?max_length=64"
    ratios: dict[tuple[str, ...], list[float]] = {}
    with tempfile.TemporaryDirectory() as store:
        config = read_config(
            {
                "models": [static, minilm],
                "rerankers": f"ce:{data / 'ce-minilm'}?max_length=64",
                "tasks": str(data / "llamaindex-10k-val"),
                "store": store,
                "device": "cpu",
            }
        )
        context, given, tasks = open_context(config), participants_of(config), load_tasks(config)
        variants = variants_of(given, {static: 128, minilm: 384}, None, ["float32"])
        everyone = with_variants(given, variants)
        limits = Limits(queries, seconds=600, documents=32)
        # Half of all-MiniLM-L6-v2's dimensions: what has the fewest is an end.
        halves = Participants({label: everyone.models[label] for label in everyone.models if "dim=192" in label})
        for _ in range(rounds):
            ends = measure_ends(tasks, given, everyone, variants, (FEWEST, *BETWEEN, MOST), context, limits)
            found = [
                measure(tasks, given, candidates=count, context=context, limits=limits).cells.assign(candidates=count)
                for count in BETWEEN
            ]
            reranked = pd.concat(found)
            reranked = reranked[reranked["reranker"] != "none"]
            narrower = measure(tasks, halves, candidates=MOST, context=context, limits=limits).cells
            measured = pd.concat([reranked, narrower.assign(candidates=0)], ignore_index=True)
            predicted = ends.predict(measured[[*KEYS, "vector_bytes"]], variants)
            for row, expected in zip(measured.to_dict("records"), predicted.to_dict("records"), strict=True):
                assert not row["note"], row
                assert all(row[key] == expected[key] for key in CELL_KEYS)
                for column in LATENCIES:
                    place = (Path(row["model"]).name, str(row["candidates"]), column)
                    ratios.setdefault(place, []).append(expected[column] / row[column])
    rows = [
        {
            "model": model,
            "candidates": int(candidates),
            "figure": column,
            "predicted_over_measured": round(statistics.median(found), 3),
            "least": round(min(found), 3),
            "most": round(max(found), 3),
        }
        for (model, candidates, column), found in ratios.items()
    ]
    off = [abs(float(np.log(float(str(row["predicted_over_measured"]))))) for row in rows]
    notes = {
        "target": f"within {TARGET:.0%} of measured; ends are {FEWEST} and {MOST} candidates",
        "met": max(off) <= np.log(1 + TARGET),
        "rounds": rounds,
        "queries": queries,
    }
    report("surface", {"cells between the ends": rows}, {key: str(value) for key, value in notes.items()})


if __name__ == "__main__":
    main()
