"""How often paired comparisons are wrong: simulations on what real models score, item by item.

Items are drawn with replacement from a run's records, so that the truth is known: it is that of all records.

- Means (nDCG, MRR, hit rate): a gate's false alarms. Old and new are two models that change places at each query at
  random, and the new one loses just the margin: hits and scores are set to 0 at random. The rate is how often the
  interval is below -margin; 2.5 % is what an interval of 95 % allows.
- Spearman: how often two models that change places at each pair are told apart at 5 % ("swapped"); the same for a
  better model that was made as good as the other by noise ("noise"); and how often the interval of two real models
  holds their true difference.

`--data` is a folder with stsb-en, stsb-de, llamaindex-10k-val, cranfield, and the models of `MODELS`. Rates are given
as the mean over pairs of models and the worst pair; the worst of many is partly chance, which the last column bounds.
"""

import argparse
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import binom, rankdata, spearmanr

import evalkit
from evalkit.stats.paired import compare_correlations, compare_means
from evalkit.types import FloatArray

MODELS = (
    "bow", "tfidf", "tfidf?min_df=3", "lsa", "lsa?components=64", "static:{data}/potion-base-4m-int8",
    "static:{data}/potion-base-4m-int8?dim=64", "glove:{data}/potion-words-128d/potion-base-4m.words.128d.txt.gz",
)  # fmt: skip
SIZES = (30, 50, 100, 300)
MARGINS = (0.0, 0.01, 0.05)
RESAMPLES = 2_000
NAMES = ("task", "metric", "what", "n", "mean", "worst", "by chance")


def main() -> None:
    """Print a line a task, metric and number of items."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--pairs", type=int, default=12, help="of models, drawn at random")
    asked = parser.parse_args()
    print(" | ".join(NAMES))
    for task in ("llamaindex-10k-val", "cranfield"):
        for metric in ("nDCG@10", "MRR@10", "hit_rate@10"):
            values, _ = records(asked.data, task, metric)
            report(task, metric, false_alarms(values, asked.pairs, asked.repeats), asked.repeats)
    for task in ("stsb-en", "stsb-de"):
        values, gold = records(asked.data, task, "cosine")
        report(task, "spearman", correlations(values, gold, asked.pairs, asked.repeats), asked.repeats)


def records(data: Path, task: str, metric: str) -> tuple[FloatArray, FloatArray]:
    """What each model scores on the items that all are defined on, (n_items, n_models), and their gold scores."""
    models = ",".join(model.format(data=data) for model in MODELS)
    run = evalkit.run(models=models, tasks=str(data / task), device="cpu", top_k=10, on_bad_data="warn")
    wide = (
        run.records.astype(str)
        .astype({"value": float})
        .pivot(index="id", columns=["metric", "model"], values="value")
    )
    values = wide[metric].dropna()
    gold = run.gold.set_index("id")["value"].reindex(values.index)
    return values.to_numpy(), gold.to_numpy()


def chosen(n_models: int, pairs: int) -> list[tuple[int, int]]:
    """Pairs of models, the same ones each time."""
    every = list(combinations(range(n_models), 2))
    rows = np.random.default_rng(0).permutation(len(every))[:pairs]
    return [every[row] for row in rows]


def swapped(first: FloatArray, second: FloatArray, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """The two with their places changed at random, item by item."""
    swap = rng.random(first.shape) < 0.5
    return np.where(swap, second, first), np.where(swap, first, second)


def false_alarms(values: FloatArray, pairs: int, repeats: int) -> Iterator[tuple[str, int, list[float]]]:
    """By margin and number of queries: each pair's rate of intervals below -margin where just the margin is lost."""
    columns = np.arange(2 * repeats).reshape(-1, 2)
    for n in SIZES:
        for margin in MARGINS:
            rates = []
            for number, (a, b) in enumerate(chosen(values.shape[1], pairs)):
                rng = np.random.default_rng([n, number])
                rows = rng.integers(len(values), size=(n, repeats))
                old, new = swapped(values[rows, a], values[rows, b], rng)
                new = new * (rng.random(new.shape) >= margin / values[:, [a, b]].mean())
                both = np.stack([new, old], axis=2).reshape(n, -1)
                tests = compare_means(both, columns, seed=number, resamples=RESAMPLES)
                rates.append(float(np.mean((tests.high < -margin) & (tests.sd > 0))))
            yield f"fails, margin {margin:g}", n, rates


def correlations(
    values: FloatArray, gold: FloatArray, pairs: int, repeats: int
) -> Iterator[tuple[str, int, list[float]]]:
    """By number of pairs: how often what is not there is found, and how often the interval misses what is."""
    for n in (20, *SIZES):
        found: dict[str, list[float]] = {}
        for number, (a, b) in enumerate(chosen(values.shape[1], pairs)):
            rng = np.random.default_rng([n, number])
            ranks = rankdata(values[:, [a, b]], axis=0)
            better, worse = sorted(ranks.T, key=lambda column: -spearmanr(column, gold).statistic)
            noisy = made_as_good(better, worse, gold, rng)
            cases = {
                "swapped: found": (ranks, True), "noise: found": (np.stack([noisy, worse], axis=1), False),
                "real: missed": (ranks, False),
            }  # fmt: skip
            for what, (columns, swap) in cases.items():
                true = np.subtract(*(spearmanr(column, gold).statistic for column in columns.T))
                wrong = []
                for _ in range(repeats):
                    rows = rng.integers(len(gold), size=n)
                    drawn = (
                        np.stack(swapped(columns[rows, 0], columns[rows, 1], rng), axis=1) if swap else columns[rows]
                    )
                    test = compare_correlations(drawn, gold[rows], np.array([[0, 1]]), seed=0, resamples=RESAMPLES)
                    missed = what.startswith("real") and not test.low[0] <= true <= test.high[0]
                    wrong.append(missed or ("found" in what and test.p[0] <= 0.05))
                found.setdefault(what, []).append(float(np.mean(wrong)))
        for what, rates in found.items():
            yield what, n, rates


def made_as_good(better: FloatArray, worse: FloatArray, gold: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The better model with noise that leaves it the worse one's correlation, found by bisection."""
    goal, noise = spearmanr(worse, gold).statistic, rng.normal(0, len(gold), len(gold))
    low, high = 0.0, 10.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if spearmanr(better + middle * noise, gold).statistic > goal else (low, middle)
    return np.asarray(better + high * noise)


def report(task: str, metric: str, found: Iterator[tuple[str, int, list[float]]], repeats: int) -> None:
    """Print the rates; "by chance" is what the worst of so many pairs reads where all are at the stated rate."""
    for what, n, rates in found:
        stated = 0.025 if what.startswith("fails") else 0.05
        chance = binom.ppf(0.95 ** (1 / len(rates)), repeats, stated) / repeats
        row = (task, metric, what, n, f"{np.mean(rates):.3%}", f"{max(rates):.2%}", f"{chance:.2%}")
        print(" | ".join(map(str, row)), flush=True)


if __name__ == "__main__":
    main()
