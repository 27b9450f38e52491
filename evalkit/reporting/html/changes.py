"""What changed between two runs as one HTML file, with what was retrieved then and now."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from evalkit.reporting.changes import change_tables, headline, pair_name
from evalkit.reporting.html.page import environment, own_file, require_report
from evalkit.results import Results
from evalkit.results.diff import Changes
from evalkit.results.input_diff import of_task

QUERIES = 20
"""Queries of each pair of cells that are shown in full, of those that lost most and of those that won most."""
RESULTS = 5
"""Results of a query that are shown."""


def write_changes(changes: Changes, runs: tuple[Results, Results], names: tuple[str, str], path: Path) -> None:
    """Write the page; it needs no network, no server and no script. Raises OptionalDependencyError."""
    require_report()
    from markupsafe import Markup

    page = (
        environment()
        .get_template("changes.html.jinja")
        .render(
            names=names,
            runs=runs,
            sentences=headline(changes),
            tables=change_tables(changes, *names),
            pairs=list(_pairs(changes, runs)),
            style=Markup(own_file("page.css")),
        )
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.encode("utf-8", "replace"))


def _pairs(changes: Changes, runs: tuple[Results, Results]) -> Iterator[dict[str, Any]]:
    """Yield the pairs of cells whose queries changed, with the queries that lost and won most."""
    keys = ["task", "split", "model_a", "reranker_a", "model_b", "reranker_b"]
    for _, rows in changes.queries.groupby(keys, sort=False):
        lost, won = rows[rows["difference"] < 0], rows[rows["difference"] > 0]
        first = rows.iloc[0]
        label = (first["task"], first["split"])
        sides = [
            _rankings(run, label, (first[f"model_{side}"], first[f"reranker_{side}"]))
            for run, side in zip(runs, "ab", strict=True)
        ]
        relevant = of_task(runs[0].evidence.judgements, label).groupby("query")["document"].agg(set).to_dict()
        texts: dict[str, str] = {}
        for run in runs:
            documents = of_task(run.evidence.documents, label)
            texts |= dict(zip(documents["document"], documents["text"], strict=True))
        yield {
            "title": f"{pair_name(first)}: {label[0]} ({label[1]})",
            "groups": [
                (what, [_query(row, sides, relevant.get(row["query"], set()), texts) for _, row in part.iterrows()])
                for what, part in (("lost", lost.head(QUERIES)), ("won", won.tail(QUERIES).iloc[::-1]))
                if len(part)
            ],
        }


def _rankings(run: Results, label: tuple[str, str], cell: tuple[str, str]) -> dict[str, list[str]]:
    found = of_task(run.evidence.rankings, label)
    found = found[(found["model"] == cell[0]) & (found["reranker"] == cell[1]) & (found["rank"] <= RESULTS)]
    by_query = found.sort_values("rank").groupby(found["query"].astype(str), sort=False)["document"]
    return {str(query): [str(document) for document in documents] for query, documents in by_query}


def _query(
    row: pd.Series, sides: list[dict[str, list[str]]], relevant: set[str], texts: dict[str, str]
) -> dict[str, Any]:
    return {
        "id": row["query"],
        "text": row["text"],
        "before": row["value_a"],
        "after": row["value_b"],
        "lists": [
            [
                {"id": document, "text": texts.get(document, ""), "relevant": document in relevant}
                for document in side.get(row["query"], [])
            ]
            for side in sides
        ],
    }
