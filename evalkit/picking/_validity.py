"""What questions that were made are worth: how near they are to the passages, and what they tell apart."""

import json
import math
from typing import Any

from evalkit.cell import cell_name
from evalkit.picking._recommend import Recommendation
from evalkit.picking.questions.overlap import HALVES, TAG
from evalkit.reporting.measurements import as_number
from evalkit.reporting.table import Table, TableCell, to_markdown
from evalkit.results import Results

REAL = "33 to 44 %"
"""The overlap of questions that people wrote with what answers them: the sets of benchmarks/made_questions.py."""
SHOWN = 10
"""Choices in the table by overlap, the best of all questions first."""


def validity(found: Recommendation, results: Results) -> str:
    """Return a section on questions that were made (Markdown); empty for those that were given."""
    overlap = results.provenance.get("pick", {}).get("questions", {}).get(TAG)
    if overlap is None:
        return ""
    pairs = math.comb(len(found.allowed), 2)
    told = (
        f"{overlap:.0%} of a question's words stand in the passages that answer it; of real questions {REAL} on "
        f"four known sets. The questions tell {found.pairs_apart} of {pairs} pairs of choices apart."
    )
    return f"## The questions\n\n{told}\n\n{to_markdown([by_overlap(found, results)])}".rstrip()


def by_overlap(found: Recommendation, results: Results) -> Table:
    """Return the scores of the best choices on the questions that share fewer words with their answer, and on the
    others.
    """
    queries = results.evidence.queries
    half = {str(query): json.loads(tags)[TAG] for query, tags in zip(queries["query"], queries["tags"], strict=True)}
    records = results.records[results.records["metric"] == found.metric]
    halves = records.assign(half=records["id"].astype(str).map(half))
    keys = ["split", "model", "reranker", "half"]
    means: Any = halves.astype(dict.fromkeys(keys, str)).groupby(keys)["value"].mean()
    rows = []
    for each in found.choices[:SHOWN]:
        of_choice = [means.get((each.chunking, each.model, each.reranker, name), math.nan) for name in HALVES]
        label = cell_name(each.model, each.reranker)
        rows.append(
            (TableCell(label), TableCell(each.chunking), *(TableCell(as_number(score)) for score in of_choice))
        )
    return Table(
        f"{found.metric} by the words that question and answer share",
        ("Model", "Chunking", "fewer words", "more words"),
        tuple(rows),
        "An order that turns round from one half to the other was made by the words that were shared.",
        2,
    )
