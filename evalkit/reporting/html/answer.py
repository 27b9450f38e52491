"""The answer in a sentence or two: what is best, what ties with it, what to pick if it must be fast or small."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.reporting._significance import row_name
from evalkit.reporting.html.units import Unit
from evalkit.results.comparisons import LEVEL
from evalkit.results.scores import is_thin, thin_in_words
from evalkit.tasks.kinds import kind_named

KEEPS = 0.9
"""A cheaper cell is worth naming if it cannot be told from the best, or keeps this share of its score."""
FUSED = ("rrf", "weighted")
"""Families of first stages that are two models."""
NAMED = 3
"""Ties that are named; of more only the number is told."""


def answer(unit: Unit, decides: bool = True) -> list[str]:
    """Return sentences about a task, the best cell first. What to pick is told only where questions can say."""
    if unit.main is None or unit.boards[unit.main.name]["score"].isna().all():
        return [f"Nothing could be scored: {_failures(unit) or 'every score is undefined'}."]
    cells = pd.concat([unit.cells, unit.boards[unit.main.name].reset_index(drop=True)], axis=1)
    scored = cells[cells["rank"].notna()]
    told = [best(scored, unit.main.title), ties(scored)] if len(scored) else []
    if len(scored) > 1 and decides:
        told += [fast(scored), small(scored)]
    told += thin(cells, unit.facts)
    if failed := _failures(unit):
        told.append(f"No score: {failed}.")
    return [sentence for sentence in told if sentence]


def best(cells: pd.DataFrame, metric: str) -> str:
    """Return the first cell, its score and interval. Cells come best first."""
    top = cells.iloc[0]
    interval = "" if pd.isna(top["ci_low"]) else f" (95 % interval {top['ci_low']:.3f} to {top['ci_high']:.3f})"
    return f"{row_name(top)} has the best {metric}, {top['score']:.3f}{interval}."


def ties(cells: pd.DataFrame) -> str:
    """Tell which others cannot be told from the best."""
    others = cells.iloc[1:]
    if others.empty:
        return "It is the only one that was scored."
    if others["tied"].isna().all():
        return "There is no paired test for this task's scores, so a small lead may be noise."
    tied = others[others["tied"].eq(True)]
    if tied.empty and others["p_corrected"].le(LEVEL).all():
        return f"It is better than each of the other {len(others)}, by more than chance explains."
    if tied.empty:
        return f"Each of the other {len(others)} is beaten, by it or by another, by more than chance explains."
    if len(tied) == len(others):
        return f"None of the other {len(others)} can be told from it on this data: the lead may be noise."
    if len(tied) > NAMED:
        first = row_name(tied.iloc[0])
        return f"{len(tied)} of the other {len(others)} cannot be told from it, {first} first among them."
    names = _listed([row_name(cell) for _, cell in tied.iterrows()])
    return f"{names} cannot be told from it on this data."


def thin(cells: pd.DataFrame, facts: Mapping[str, Any]) -> list[str]:
    """Tell which cells have a score over too few items to have a rank."""
    things = kind_named(facts["type"]).items
    return [
        f"{row_name(cell)} {thin_in_words(int(cell['n']), facts[things], things)}: "
        "it has no rank, and is not compared."
        for _, cell in cells[is_thin(cells)].iterrows()
    ]


def fast(cells: pd.DataFrame) -> str:
    """Tell what to pick if it must answer quickly, by measured latency; without that, what runs one model a query.

    Of those than which no other was shown to be faster, since their rounds overlap, it is the best.
    """
    measured = cells["latency_ms"].notna() if "latency_ms" in cells else pd.Series(False, index=cells.index)
    if measured.any():
        near = _near_enough(cells, "latency_ms")
        if near.empty:
            return ""
        low, high = near["latency_low_ms"].fillna(0), near["latency_high_ms"].fillna(np.inf)
        fastest = near[low <= high.min()]
        pick = fastest.iloc[0]
        what = f"{pick['latency_ms']:.3g} ms a query (median)"
        others = len(fastest) - 1
        aside = f"; that {others} of the others are slower was not shown" if others else ""
        return f"If it must be fast: {_picked(pick, cells.iloc[0], what)}{aside}."
    alone = cells[(cells["reranker"] == NO_RERANKER) & ~cells["family"].isin(FUSED)]
    if len(alone) in (0, len(cells)):
        return "Latency was not measured."
    if alone.index[0] == cells.index[0]:
        return "Latency was not measured; the best needs no reranker, which is one model fewer to run for each query."
    pick = alone.iloc[0]
    return (
        "If it must be fast (latency was not measured, but no reranker is one model fewer to run for each query): "
        f"{row_name(pick)}, {_loss(pick)}."
    )


def small(cells: pd.DataFrame) -> str:
    """Tell what to pick if it must take little memory, by parameters of the models."""
    near = _near_enough(cells, "parameters")
    if near.empty:
        return "The sizes of these models are not known."
    pick = near.iloc[int(near["parameters"].astype(float).argmin())]
    size = f"{pick['parameters']:,.4g} million parameters" if pick["parameters"] else "no weights to load"
    unknown = int(cells["parameters"].isna().sum())
    aside = f"; the sizes of {unknown} others are not known" if unknown else ""
    return f"If it must be small: {_picked(pick, cells.iloc[0], size)}{aside}."


def _near_enough(cells: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return those with a value that tie with the best or keep `KEEPS` of its score, best first."""
    near_enough = (cells["score"] - cells["score"].iloc[0]).abs() <= (1 - KEEPS) * abs(cells["score"].iloc[0])
    found: pd.DataFrame = cells[(cells["tied"].eq(True) | near_enough) & cells[column].notna()]
    return found


def _picked(pick: pd.Series, top: pd.Series, what: str) -> str:
    if pick.name == top.name:
        return f"still {row_name(pick)}, {what}"
    return f"{row_name(pick)}, {what}, {_loss(pick)}"


def _loss(pick: pd.Series) -> str:
    if pick["tied"] is True:
        return f"{pick['score']:.3f}, which cannot be told from the best"
    bounds = "" if pd.isna(pick["diff_low"]) else f" ({pick['diff_low']:.3f} to {pick['diff_high']:.3f})"
    return f"{pick['score']:.3f}, {pick['difference']:.3f}{bounds} worse than the best"


def _failures(unit: Unit) -> str:
    if "reason" not in unit.cells:
        return ""
    failed = unit.cells[unit.cells["reason"].notna()]
    return (
        _listed([row_name(cell) for _, cell in failed.iterrows()])
        if len(failed) <= NAMED
        else f"{len(failed)} cells failed"
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""
