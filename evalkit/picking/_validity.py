"""What questions are worth: how near made ones are to the passages, and what they tell apart; and scores by tag."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

from evalkit.cell import cell_name
from evalkit.picking._recommend import Recommendation
from evalkit.picking.questions.overlap import HALVES, TAG, told
from evalkit.reporting.measurements import as_number
from evalkit.reporting.table import Table, TableCell, to_markdown
from evalkit.results import Results

SHOWN = 10
"""Choices in a table by tag, the best of all questions first."""
MOST_VALUES = 8
"""A tag of more values, such as who asked, has no table."""


def validity(found: Recommendation, results: Results) -> str:
    """Return a section on the questions (Markdown): what those that were made are worth, and scores by tag.

    It is empty for questions that were given without tags.
    """
    questions = results.provenance.get("pick", {}).get("questions", {})
    lines = []
    if TAG in questions:
        pairs = math.comb(len(found.allowed), 2)
        lines += [told(questions[TAG]), f"The questions tell {found.pairs_apart} of {pairs} pairs of choices apart."]
    if unanswerable := questions.get("unanswerable"):
        lines.append(f"{unanswerable} more have no answer in the documents: no ranking is right, so none is scored.")
    tables = _by_tags(found, results)
    if not lines and not tables:
        return ""
    return "\n\n".join(filter(None, ("## The questions", " ".join(lines), to_markdown(tables)))).rstrip()


def _by_tags(found: Recommendation, results: Results) -> list[Table]:
    """Return the scores of the best choices by each tag: by overlap with the answers first, if that is one."""
    queries = results.evidence.queries
    tags = {
        str(query): json.loads(of_query) if of_query else {}
        for query, of_query in zip(queries["query"], queries["tags"], strict=True)
    }
    names = sorted({tag for of_query in tags.values() for tag in of_query}, key=lambda tag: (tag != TAG, tag))
    tables = []
    for name in names:
        of_tag = {query: str(of_query[name]) for query, of_query in tags.items() if name in of_query}
        counts = Counter(of_tag.values())
        if name == TAG:
            columns = dict(zip(HALVES, ("fewer words", "more words"), strict=True))
            title, note = (
                "the words that question and answer share",
                ("An order that turns round from one half to the other was made by the words that were shared."),
            )
        elif 1 < len(counts) <= MOST_VALUES:
            columns = {value: f"{value} ({counts[value]})" for value in sorted(counts)}
            title, note = name, "In brackets: the number of questions. Few of a kind show little."
        else:
            continue
        tables.append(_table(found, results, of_tag, columns, f"{found.metric} by {title}", note))
    return tables


def _table(
    found: Recommendation,
    results: Results,
    of_tag: Mapping[str, str],
    columns: Mapping[str, str],
    title: str,
    note: str,
) -> Table:
    """Return the mean score of the best choices over the questions of each value of a tag."""
    records = results.records[results.records["metric"] == found.metric]
    tagged = records.assign(tag=records["id"].astype(str).map(of_tag))
    keys = ["split", "model", "reranker", "tag"]
    means: Any = tagged.dropna(subset="tag").astype(dict.fromkeys(keys, str)).groupby(keys)["value"].mean()
    rows = []
    for each in found.choices[:SHOWN]:
        of_choice = [means.get((each.chunking, each.model, each.reranker, value), math.nan) for value in columns]
        label = cell_name(each.model, each.reranker)
        rows.append(
            (TableCell(label), TableCell(each.chunking), *(TableCell(as_number(score)) for score in of_choice))
        )
    where = "Split" if found.choices[0].of_task else "Chunking"
    return Table(title, ("Model", where, *columns.values()), tuple(rows), note, 2)
