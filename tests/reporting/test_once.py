"""The outputs of one run share their statistics: nothing is tested or drawn twice."""

from collections import Counter

import numpy as np
import pytest

import evalkit
from evalkit.reporting._tables import make_tables
from evalkit.reporting.html.page import render
from evalkit.results import comparisons

STATISTICS = (
    "compare_means", "compare_correlations", "told_apart", "resampled_means", "resampled_spearman",
    "spearman_influence",
)  # fmt: skip


def frozen(value):
    """Something to count by."""
    return value.tobytes() if isinstance(value, np.ndarray) else repr(value)


@pytest.mark.parametrize(
    ("models", "rerankers", "tasks"),
    [
        ("bm25,tfidf,bow", "none", "rag-mini"),
        ("bm25,tfidf,bow", "tfidf,bow", "rag-mini"),
        ("tfidf,bow,lsa?components=5", "none", "sts-mini,rag-mini"),
    ],
)
def test_no_test_is_run_twice_for_one_page(models, rerankers, tasks, monkeypatch):
    run = evalkit.run(models=models, rerankers=rerankers, tasks=tasks, device="cpu", top_k=[3, 5])
    called = Counter()

    def counted(name):
        function = getattr(comparisons, name)

        def counting(*arguments, **named):
            called[name, *map(frozen, arguments), *((key, frozen(value)) for key, value in named.items())] += 1
            return function(*arguments, **named)

        return counting

    for name in STATISTICS:
        monkeypatch.setattr(comparisons, name, counted(name))
    make_tables(run)
    render({"run": run})
    run.leaderboard()
    assert {name for name, *_ in called} >= {"compare_means", "told_apart"}
    twice = [(name, count) for (name, *_), count in called.items() if count > 1]
    assert not twice
