"""Ranking metrics: hit rate, MRR, precision, recall, MAP and nDCG at 10 of 100 results a query, against two peers.

Each side starts with its judgements read and a run in its own form, as in a grid, whose cells share the judgements
of a task. evalkit joins its run (arrays of row numbers) with them; another row also counts reading them from a
mapping, which a grid does once a task. pytrec_eval has them in its evaluator and starts from a dict of scores;
trec_eval has no MRR at a cut, so it computes its uncut one. ranx starts from its Qrels and Run objects, the run
already sorted, with all threads and after a first call that compiles it. It also takes arrays of numbers, which
leave out names altogether. Values for single queries are asked of all. They must agree to 1e-6, or the program fails.
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytrec_eval
import ranx
from side_by_side import measure, report, table

from evalkit.metrics.ranking import RANKING_METRICS, Judged, Judgements, judge
from evalkit.types import FloatArray, Run

K, DEPTH, N_DOCUMENTS, JUDGED, HIGHEST_GRADE = 10, 100, 10_000, 10, 3
TREC_EVAL = {
    "hit_rate": "success_10",
    "mrr": "recip_rank",
    "precision": "P_10",
    "recall": "recall_10",
    "map": "map_cut_10",
    "ndcg": "ndcg_cut_10",
}
RANX = [f"{name}@{K}" for name in RANKING_METRICS]
TARGETS = {"pytrec_eval": 5.0, "ranx, Qrels and Run": 1.0, "ranx, arrays of numbers": 1.0}


@dataclass(frozen=True)
class Case:
    """Random results and judgements, half of them of documents that were found."""

    run: Run
    judged_rows: np.ndarray
    grades: np.ndarray
    document_ids: list[str]
    query_ids: list[str]

    @property
    def qrels(self) -> dict[str, dict[str, int]]:
        """The judgements as a mapping."""
        pairs = zip(self.judged_rows.tolist(), self.grades.tolist(), strict=True)
        return {
            query: {self.document_ids[row]: grade for row, grade in zip(rows, grades, strict=True)}
            for query, (rows, grades) in zip(self.query_ids, pairs, strict=True)
        }

    @property
    def results(self) -> dict[str, dict[str, float]]:
        """The run as a dict of scores."""
        pairs = zip(self.run.documents.tolist(), self.run.scores.tolist(), strict=True)
        return {
            query: {self.document_ids[row]: score for row, score in zip(rows, scores, strict=True)}
            for query, (rows, scores) in zip(self.query_ids, pairs, strict=True)
        }


def make_case(n_queries: int) -> Case:
    """Distinct documents for each query, distinct scores, and at least one relevant document a query."""
    rng = np.random.default_rng(0)
    # Steps around a circle of documents: distinct within a query.
    steps = rng.integers(1, N_DOCUMENTS // (2 * DEPTH), size=(n_queries, DEPTH + JUDGED // 2)).cumsum(axis=1)
    rows = (steps + rng.integers(N_DOCUMENTS, size=(n_queries, 1))) % N_DOCUMENTS
    rows = rng.permuted(rows, axis=1)
    scores = np.linspace(1, 0, DEPTH) - rng.random((n_queries, DEPTH)) / (2 * DEPTH)
    judged_rows = np.concatenate([rows[:, DEPTH:], rows[:, 0 : 20 * (JUDGED // 2) : 20]], axis=1)
    grades = rng.integers(0, HIGHEST_GRADE + 1, size=judged_rows.shape)
    grades[:, 0] = HIGHEST_GRADE
    ids = [f"document{row}" for row in range(N_DOCUMENTS)]
    return Case(Run(rows[:, :DEPTH], scores), judged_rows, grades, ids, [f"query{row}" for row in range(n_queries)])


def all_metrics(judged: Judged) -> dict[str, FloatArray]:
    """Our six metrics."""
    return {name: metric.per_query(judged, K) for name, metric in RANKING_METRICS.items()}


def ranx_metrics(qrels: object, run: object) -> dict[str, FloatArray]:
    """Those of ranx."""
    values = ranx.evaluate(qrels, run, RANX, return_mean=False, save_results_in_run=False)
    return {name: values[f"{name}@{K}"] for name in RANKING_METRICS}


def ranx_arrays(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Judgements and run as ranx sorts them: a number and a grade or score a document, best first."""
    order = np.argsort(-case.grades, axis=1, kind="stable")
    qrels = np.stack([np.take_along_axis(part, order, 1) for part in (case.judged_rows, case.grades)], axis=2)
    return qrels.astype(np.float64), np.stack([case.run.documents, case.run.scores], axis=2)


def trec_arrays(values: Mapping[str, Mapping[str, float]], query_ids: list[str]) -> dict[str, FloatArray]:
    """What pytrec_eval returned, as arrays; the reciprocal rank is cut at K."""
    arrays = {ours: np.array([values[query][name] for query in query_ids]) for ours, name in TREC_EVAL.items()}
    return {**arrays, "mrr": np.where(arrays["mrr"] >= 1 / K, arrays["mrr"], 0.0)}


def check(name: str, ours: Mapping[str, FloatArray], theirs: Mapping[str, FloatArray]) -> None:
    """Leave the program unless all values agree to 1e-6."""
    for metric, values in ours.items():
        worst = float(np.abs(values - theirs[metric]).max())
        if not worst <= 1e-6:
            raise SystemExit(f"{name} disagrees on {metric}@{K} by up to {worst}")


def compare(n_queries: int, rounds: int) -> list[dict[str, object]]:
    """Check the sides against each other, then time them in turn."""
    case = make_case(n_queries)
    qrels, results, query_ids = case.qrels, case.results, case.query_ids
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(TREC_EVAL.values()))
    ranx_qrels, ranx_run = ranx.Qrels(qrels), ranx.Run(results)
    qrels_array, run_array = ranx_arrays(case)

    def read() -> Judgements:
        return Judgements.of(qrels, case.document_ids, query_ids)

    judgements = read()
    expected = all_metrics(judge(case.run, judgements))
    check("pytrec_eval", expected, trec_arrays(evaluator.evaluate(results), query_ids))
    by_query = {query: row for row, query in enumerate(ranx_run.get_query_ids())}
    rows = [by_query[query] for query in query_ids]
    from_objects = ranx_metrics(ranx_qrels, ranx_run)
    check("ranx", expected, {name: values[rows] for name, values in from_objects.items()})
    check("ranx on arrays", expected, ranx_metrics(qrels_array, run_array))
    ways: dict[str, Callable[[], object]] = {
        "evalkit": lambda: all_metrics(judge(case.run, judgements)),
        "pytrec_eval": lambda: evaluator.evaluate(results),
        "ranx, Qrels and Run": lambda: ranx_metrics(ranx_qrels, ranx_run),
        "evalkit, judgements read too": lambda: all_metrics(judge(case.run, read())),
        "ranx, arrays of numbers": lambda: ranx_metrics(qrels_array, run_array),
    }
    return table(measure(ways, rounds), ours="evalkit")


def main() -> None:
    """Compare at two sizes and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="100 and 1,000 queries, 3 rounds")
    quick = parser.parse_args().quick
    sizes = {100: 3, 1_000: 3} if quick else {1_000: 21, 100_000: 7}
    parts = {f"{size:,} queries × {DEPTH} documents": compare(size, rounds) for size, rounds in sizes.items()}
    times = {title: {str(row["way"]): float(str(row["times_ours"])) for row in rows} for title, rows in parts.items()}
    notes = {
        "values of single queries": "agree to 1e-6",
        "target": ", ".join(f"{name} at least {least} times ours" for name, least in TARGETS.items()),
        "met": {title: all(of[name] >= least for name, least in TARGETS.items()) for title, of in times.items()},
        "quick": quick,
    }
    report("metrics", parts, notes)


if __name__ == "__main__":
    main()
