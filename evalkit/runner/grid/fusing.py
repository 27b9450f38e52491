"""A first stage made of others: their rankings, already there, become one."""

import time
from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.errors import ConfigError
from evalkit.metrics.ranking import Judgements, judge, ndcg
from evalkit.runner.grid.plan import CellFacts, of_first_stage
from evalkit.search.ranking import WEIGHTS, Fusion, Pooled, best_weight, fuse, halves, id_ranks, pool
from evalkit.store.keys import fingerprint
from evalkit.types import FloatArray, IntArray, RetrievalTask, Run


def fused_stage(
    fusion: Fusion,
    task: RetrievalTask,
    parts: Sequence[tuple[Run, CellFacts]],
    depth: int,
    k: int,
) -> tuple[Run, CellFacts]:
    """Return the `depth` best documents of each query by rankings that are fused.

    A weight that is not given is chosen on one half of the queries, by the mean nDCG@k, and used on the other, both
    ways round: no query is scored with a weight that it took part in choosing. `facts.weights` has both halves'
    weights, and the one that all queries together would choose, for use on new queries.

    Raises ConfigError if a weight must be chosen from fewer than two queries.
    """
    started = time.perf_counter()
    document_ids = task.document_ids
    id_rank = id_ranks(document_ids)
    pooled = pool([run for run, _ in parts], fusion)
    weights: Mapping[str, float] = {}
    if fusion.method == "weighted" and fusion.weight is None:
        run, weights = _cross_fitted(pooled, task, document_ids, id_rank, depth, k)
    else:
        run = fuse(pooled, shares(fusion, len(parts)), id_rank, depth)
    identity = {"fusion": vars(fusion), "parts": [facts.fingerprint for _, facts in parts]}
    seconds = sum(facts.seconds for _, facts in parts) + time.perf_counter() - started
    return run, CellFacts(fingerprint(identity), seconds, weights=weights, notes=of_first_stage(run))


def shares(fusion: Fusion, parts: int) -> tuple[float, ...]:
    """Tell what each list's part is multiplied by. Raises ConfigError for a weight that is still to be chosen."""
    if fusion.method == "rrf":
        return (1.0,) * parts
    if fusion.weight is None:
        raise ConfigError(
            "new queries have no judgements to choose a weight by: give one, as in weighted(a, b)?weight=0.5."
        )
    return fusion.weight, 1 - fusion.weight


def _cross_fitted(
    pooled: Pooled, task: RetrievalTask, document_ids: Sequence[str], id_rank: IntArray, depth: int, k: int
) -> tuple[Run, Mapping[str, float]]:
    query_ids = [query.id for query in task.queries]
    if len(query_ids) < 2:
        raise ConfigError(
            f"{task.name} has {len(query_ids)} query, and a weight is chosen on one half of the queries and used on "
            "the other. Give a weight, as in weighted(a, b)?weight=0.5."
        )
    judgements = Judgements.of(task.qrels, document_ids, query_ids)

    def quality(weight: float) -> FloatArray:
        return ndcg(judge(fuse(pooled, (weight, 1 - weight), id_rank, k), judgements), k)

    by_weight = np.array([quality(weight) for weight in WEIGHTS])
    half = halves(query_ids)
    documents = np.full((len(query_ids), depth), -1, dtype=np.int64)
    scores = np.full((len(query_ids), depth), np.nan)
    weights = {"all": best_weight(by_weight)}
    for number, name in enumerate(("first half", "second half")):
        weights[name] = best_weight(by_weight[:, half != number])
        run = fuse(pooled, (weights[name], 1 - weights[name]), id_rank, depth)
        rows = half == number
        documents[rows, : run.depth], scores[rows, : run.depth] = run.documents[rows], run.scores[rows]
    return Run(documents, scores), weights
