"""How often intervals and marks are wrong: simulated tasks, made of what real models score on real sets.

A simulated task has some queries of a real one, drawn with replacement, each with the values that all its cells have
there. So the truth is known: it is the cells' means over the whole real set. Where cells are to be equal, their
values are put in a random order within each query.

- Familywise error: the share of tables of equal cells in which any is told from the best, at a stated 5 %.
- Power: of the pairs (best, other) that differ in truth, the share that is told apart: by the step-down max-T test,
  by Holm's correction over all pairs, and by Holm's over the comparisons with the best alone, which errs more often
  than it states, since the best was chosen by the same data.
- Coverage: the share of intervals of means that hold the true one, by metric, over cells on average and at the worst.

    python benchmarks/error_rates.py --data DATA [--simulations 1000] [--models bm25,tfidf,…]
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

import evalkit
from evalkit.results.comparisons import compared
from evalkit.stats.correlation import spearman_influence
from evalkit.stats.intervals import mean_interval, percentiles, resampled_means
from evalkit.stats.paired import compare_means, holm
from evalkit.stats.step_down import told_apart
from evalkit.types import FloatArray

LEVEL = 0.05
DRAWS = 1000
DRAWS_OF_POWER = 10_000
"""Of fewer draws, no p-value is small enough for Holm's correction of all pairs of 12 cells."""
SIZES, CELLS = (50, 100), (2, 4, 10, 20)
MODELS = (
    "bm25,tfidf,tfidf?ngrams=2,bow,lsa,lsa?components=64,static:{data}/potion-base-4m-int8,"
    "static:{data}/potion-base-4m-int8?dim=64,sbert:all-MiniLM-L6-v2,sbert:all-MiniLM-L6-v2?dim=64,"
    "bert:all-MiniLM-L6-v2?pooling=cls,bert:all-MiniLM-L6-v2?pooling=max"
)
GRADED = ("mrr", "ndcg", "recall", "map", "precision")


@dataclass(frozen=True)
class Real:
    """Values of a real set, float64 (n_queries, n_cells): for sentences ranks of similarities, beside gold scores."""

    name: str
    values: FloatArray
    gold: FloatArray | None = None

    def drawn(
        self, n: int, cells: int, rng: np.random.Generator, equal: bool
    ) -> tuple[FloatArray, FloatArray | None, int]:
        """A task of `n` queries: what `told_apart` takes, float64 (n, cells), and the best cell."""
        rows = rng.integers(0, len(self.values), n)
        columns = rng.choice(self.values.shape[1], cells, replace=cells > self.values.shape[1])
        values = self.values[rows][:, columns]
        if equal:
            values = rng.permuted(values, axis=1)
        if self.gold is None:
            return values, None, int(values.mean(axis=0).argmax())
        correlations, influence = spearman_influence(values, self.gold[rows])
        return influence, correlations, int(correlations.argmax())


def real_sets(data: Path, models: str) -> Iterator[tuple[Real, dict[str, FloatArray]]]:
    """Run evalkit: each set by its main metric, and for retrieval the values of every metric."""
    for task in ("llamaindex-10k-val", "cranfield", "stsb-en"):
        is_sts = task.startswith("stsb")
        specs = [spec for spec in models.format(data=data).split(",") if not (is_sts and spec == "bm25")]
        run = evalkit.run(models=specs, tasks=str(data / task), device="cpu", top_k=[1, 5, 10], on_bad_data="warn")
        name, split = run.provenance["tasks"][0]["task"], run.provenance["tasks"][0]["split"]
        if is_sts:
            found = compared(run, name, split, "spearman(cosine)")
            known = np.isfinite(found.values).all(axis=1)
            yield Real(task, rankdata(found.values[known], axis=0), found.gold[known]), {}
            continue
        metrics = [str(metric) for metric in run.scores["metric"].unique()]
        values = {metric: compared(run, name, split, metric).values for metric in metrics}
        yield Real(f"{task}, nDCG@10", values["nDCG@10"]), values
        yield Real(f"{task}, hit_rate@10", values["hit_rate@10"]), {}


def familywise(real: Real, simulations: int) -> None:
    """Print the share of tables of equal cells in which any is told from the best."""
    for cells in CELLS:
        for n in SIZES:
            rng = np.random.default_rng(cells * n)
            wrong = by_holm = 0
            for number in range(simulations):
                values, estimates, best = real.drawn(n, cells, rng, equal=True)
                wrong += _told(values, estimates, best, number).any()
                if estimates is None:
                    others = np.array([(best, cell) for cell in range(cells) if cell != best])
                    tests = compare_means(values, others, seed=number, resamples=DRAWS)
                    by_holm += (tests.p_holm <= LEVEL).any()
            holms = "–" if real.gold is not None else f"{by_holm / simulations:.3f}"
            print(f"| {real.name} | {cells} | {n} | {wrong / simulations:.3f} | {holms} |", flush=True)


def power(real: Real, simulations: int) -> None:
    """Print the share of the pairs (best, other) that are told apart: all differ in truth, be it by little."""
    cells = real.values.shape[1]
    pairs = np.array(list(combinations(range(cells), 2)))
    for n in SIZES:
        rng = np.random.default_rng(n)
        told = np.zeros(3)
        for number in range(simulations):
            values, estimates, best = real.drawn(n, cells, rng, equal=False)
            with_best = (pairs == best).any(axis=1)
            tests = compare_means(values, pairs, seed=number, resamples=DRAWS_OF_POWER)
            told += (
                _told(values, estimates, best, number, DRAWS_OF_POWER).sum(),
                (tests.p_holm[with_best] <= LEVEL).sum(),
                (holm(tests.p[with_best]) <= LEVEL).sum(),
            )
        shares = " | ".join(f"{share:.3f}" for share in told / simulations / (cells - 1))
        print(f"| {real.name} | {cells} | {n} | {shares} |", flush=True)


def _told(
    values: FloatArray, estimates: FloatArray | None, best: int, seed: int, draws: int = DRAWS
) -> NDArray[np.bool_]:
    _, p = told_apart(values, estimates, level=LEVEL, seed=seed, resamples=draws)
    return p[best] <= LEVEL


def coverage(name: str, metrics: dict[str, FloatArray], simulations: int) -> None:
    """Print how often intervals hold the true mean: those of evalkit, and percentiles of the bootstrap."""
    for metric, values in metrics.items():
        for n in (30, 50, 100):
            rng = np.random.default_rng(n)
            held, boot = [], []
            for column in values.T:
                drawn = column[rng.integers(0, len(column), (n, simulations))]
                held.append(_held(mean_interval(drawn), column.mean()))
                few = drawn[:, : simulations // 4]
                boot.append(_held(percentiles(resampled_means(few, seed=n, resamples=DRAWS)), column.mean()))
            print(f"| {name} | {metric} | {n} | {np.mean(held):.3f} | {min(held):.3f} | {np.mean(boot):.3f} | "
                  f"{min(boot):.3f} |")  # fmt: skip


def _held(bounds: Sequence[FloatArray] | FloatArray, true: float) -> float:
    low, high = bounds
    return float(((low <= true + 1e-12) & (true - 1e-12 <= high)).mean())


def main() -> None:
    """Print all tables as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with llamaindex-10k-val, cranfield, stsb-en")
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--models", default=MODELS, help="specs, comma between; {data} stands for the folder")
    options = parser.parse_args()
    for real, metrics in real_sets(options.data, options.models):
        print(f"\n{real.name}: {real.values.shape[1]} cells, {len(real.values)} queries or pairs\n")
        print("| set | cells | queries | false tables, max-T | Holm against the best |\n|---|---|---|---|---|")
        familywise(real, options.simulations)
        if real.gold is None:
            print("\n| set | cells | queries | found, max-T | Holm, all pairs | Holm against the best |")
            print("|---|---|---|---|---|---|")
            power(real, options.simulations // 5)
        if metrics:
            print("\n| set | metric | queries | covered | worst cell | bootstrap percentiles | worst cell |")
            print("|---|---|---|---|---|---|---|")
            chosen = {name: values for name, values in metrics.items() if name.partition("@")[0] in
                      (*GRADED, "hit_rate") and not name.endswith("@1")}  # fmt: skip
            coverage(real.name.partition(",")[0], chosen, options.simulations)


if __name__ == "__main__":
    main()
