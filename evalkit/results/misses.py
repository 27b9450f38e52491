"""Where the misses of a cell come from: the corpus, the first stage, the reranker, or the models' maximum length."""

import numpy as np
import pandas as pd

from evalkit.cell import NO_RERANKER
from evalkit.errors import ConfigError
from evalkit.results.records import CELL_KEYS, Measurements
from evalkit.results.results import Results

PARTS = ("not_in_corpus", "not_found", "not_lifted", "demoted")
"""What the missed queries fall into, each into one."""
LOSS_COLUMNS = [
    *CELL_KEYS, "queries", "missed", *PARTS,
    "missed_truncated", "relevant", "relevant_truncated", "relevant_truncated_by_reranker",
]  # fmt: skip
_TASK = ["task", "split"]


def attribute(results: Results, k: int) -> pd.DataFrame:
    """Tell why queries have no relevant document in the top k: a row a cell of retrieval tasks, with `LOSS_COLUMNS`.

    Of the `queries`, `missed` is the sum of four parts, each query in the first that holds:

    - `not_in_corpus`: none of its relevant documents is in the corpus;
    - `not_found`: the first stage has none among the candidates;
    - `not_lifted`: one is among the candidates, but below k in the first stage and after the reranker; for a first
      stage alone, what a reranker could still lift;
    - `demoted`: the first stage alone has one in the top k, and the reranker put it below, or left it out.

    Beside them: `missed_truncated` counts missed queries with a relevant document that the model or the reranker
    reads only in part; `relevant` the pairs of query and relevant document of the corpus, `relevant_truncated` and
    `relevant_truncated_by_reranker` those among them that are read only in part. NaN where that was not measured, the
    model does not count tokens, or there is no reranker.

    Raises ConfigError if k is more than the candidates, or the results came without evidence.
    """
    candidates = results.provenance["candidates"]
    if not 1 <= k <= candidates:
        raise ConfigError(f"k={k} is not from 1 to {candidates}, the number of candidates that were ranked.")
    found = results.evidence.first_relevant
    if found.empty and any(results.metric(str(name)).k is not None for name in results.records["metric"].unique()):
        raise ConfigError("these results hold no evidence of what was found. Run again, or give the whole folder.")
    found = found.astype(dict.fromkeys([*CELL_KEYS, "query"], str))
    first = found[found["reranker"] == NO_RERANKER].drop(columns="reranker")
    both = found.merge(first, on=[*_TASK, "model", "query"], suffixes=("", "_first"), how="left", sort=False)
    here = _relevant_here(results)
    both = both.merge(
        here.groupby([*_TASK, "query"], as_index=False)["there"].any(), on=[*_TASK, "query"], how="left"
    )
    missed = ~(both["rank"] <= k)
    reason = np.select(
        [~both["there"], ~(both["rank_first"] <= candidates), ~(both["rank_first"] <= k)], PARTS[:-1], PARTS[-1]
    )
    for name in PARTS:
        both[name] = missed & (reason == name)
    both["missed"] = missed
    return _counted(both, here[here["there"]], results)


def _relevant_here(results: Results) -> pd.DataFrame:
    """Return pairs of query and relevant document, and whether the corpus has the document."""
    evidence = results.evidence
    known = evidence.documents[[*_TASK, "document"]].assign(there=True)
    pairs = evidence.judgements[[*_TASK, "query", "document"]].merge(known, on=[*_TASK, "document"], how="left")
    return pairs.assign(there=pairs["there"].notna())


def _counted(queries: pd.DataFrame, relevant: pd.DataFrame, results: Results) -> pd.DataFrame:
    rows = []
    for labels, cell in queries.groupby(CELL_KEYS, sort=False):
        task, split, model, reranker = key = tuple(map(str, labels))
        of_task = relevant[(relevant["task"] == task) & (relevant["split"] == split)]
        pairs = set(zip(of_task["query"], of_task["document"], strict=True))
        by_model = _cut(results.measurements, (task, split, model, NO_RERANKER), "documents_truncated", model)
        by_reranker = _cut(results.measurements, key, "pairs_truncated", reranker)
        read_by = [by_model] if reranker == NO_RERANKER else [by_model, by_reranker]
        known = [cut for cut in read_by if cut is not None]
        cut_queries = {query for query, _ in set().union(*known)}
        rows.append(
            {
                **dict(zip(CELL_KEYS, key, strict=True)),
                "queries": len(cell),
                **{name: int(cell[name].sum()) for name in ("missed", *PARTS)},
                "missed_truncated": int(cell.loc[cell["missed"], "query"].isin(cut_queries).sum())
                if len(known) == len(read_by)
                else np.nan,
                "relevant": len(pairs),
                "relevant_truncated": np.nan if by_model is None else len(by_model),
                "relevant_truncated_by_reranker": np.nan if by_reranker is None else len(by_reranker),
            }
        )
    return pd.DataFrame(rows, columns=LOSS_COLUMNS)


def _cut(measured: Measurements, cell: tuple[str, ...], share: str, label: str) -> set[tuple[str, str]] | None:
    """Return pairs of query and relevant document that a model of the cell reads only in part; None if that is not
    known.
    """
    rows = measured.cells[(measured.cells[CELL_KEYS] == list(cell)).all(axis=1)]
    if rows.empty or rows[share].isna().all():
        return None
    cut = measured.truncated
    cut = cut[(cut[[*_TASK, "model"]] == [cell[0], cell[1], label]).all(axis=1)]
    return set(zip(cut["query"], cut["document"], strict=True))
