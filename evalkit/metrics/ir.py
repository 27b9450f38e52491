"""Ranking metrics of trec_eval and others, computed by ir_measures (MacAvaney, Macdonald and Ounis, ECIR 2022)."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from evalkit.errors import ConfigError, OptionalDependencyError, did_you_mean
from evalkit.types import FloatArray, Qrels, Run

NAMES = frozenset(
    {
        "AP", "BPM", "Bpref", "Compat", "ERR", "IPrec", "INSQ", "INST", "Judged", "MAP", "MRR", "NERR8", "NERR9",
        "NERR10", "NERR11", "P", "R", "RBP", "RR", "Rprec", "SDCG", "SetAP", "SetF", "SetP", "SetR", "Success",
        "infAP", "nDCG",
    }
)  # fmt: skip
"""The names, before brackets and @, of its measures that are means over queries and need no more than grades."""


@cache
def parse(text: str) -> tuple[str, int | None]:
    """Read the name of a measure, and return how ir_measures writes it, "P(rel=2)@5", and the rank that it is cut at.

    Raises ConfigError for a name that it does not know or cannot compute here, OptionalDependencyError without it.
    """
    measure = _measure(text)
    cut = measure.params.get("cutoff")
    if cut is not None and cut < 1:  # the libraries behind it end the process
        raise ConfigError(f"metric {text!r} must be cut at a rank from 1, such as {measure.NAME}@10.")
    # It is told at the start, not after all models have run, that a measure needs another package or a cut-off.
    try:
        list(_library().iter_calc([measure], [_library().Qrel("1", "1", 1)], [_library().ScoredDoc("1", "1", 1.0)]))
    except Exception as error:  # each provider raises its own
        more = " It may need another package: pip install cwl-eval." if "Unsupported" in str(error) else ""
        raise ConfigError(f"ir_measures cannot compute the metric {text!r} here: {error}.{more}") from error
    return str(measure), cut


def values(name: str, run: Run, qrels: Qrels, document_ids: Sequence[str], query_ids: Sequence[str]) -> FloatArray:
    """Compute a measure for each query: float64 of shape (n_queries,), NaN where nothing is relevant.

    Documents are taken in the order of `run`, whatever their scores. A query without results has 0.
    """
    library = _library()
    number_of = {identifier: str(row) for row, identifier in enumerate(document_ids)}
    # Providers that call another program take plain numbers only. A document that the corpus lacks gets one too.
    judgements = [
        library.Qrel(str(row), number_of.setdefault(document, str(len(number_of))), int(grade))
        for row, query_id in enumerate(query_ids)
        for document, grade in qrels.get(query_id, {}).items()
    ]
    queries, ranks = np.nonzero(run.documents >= 0)
    found = [
        library.ScoredDoc(str(query), str(document), float(-rank))
        for query, rank, document in zip(queries, ranks, run.documents[queries, ranks], strict=True)
    ]
    has_relevant = [any(grade > 0 for grade in qrels.get(query_id, {}).values()) for query_id in query_ids]
    computed = np.where(has_relevant, 0.0, np.nan)
    for each in library.iter_calc([_measure(name)], judgements, found):
        row = int(each.query_id)
        if has_relevant[row]:
            computed[row] = each.value
    return computed


def _measure(text: str) -> Any:
    try:
        return _library().parse_measure(text)
    except (NameError, ValueError, TypeError, SyntaxError) as error:
        raise ConfigError(f"ir_measures has no metric {text!r}: {error}. {did_you_mean(text, NAMES)}") from error


def _library() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise OptionalDependencyError("a metric of ir_measures", "ir_measures", "metrics") from error
    return ir_measures
