"""The score on new questions of what was chosen: its interval covers, whatever was chosen from."""

import numpy as np
import pytest

import evalkit
from evalkit.stats.selection import FEWEST, confirm

TRIALS = 400


def best(values):
    return lambda counts: int((counts @ values).argmax())


def test_questions_of_one_document_take_no_part_in_choosing_for_each_other():
    """Each document is answered by a column of its own: what the others choose finds nothing.

    The first has most questions: all others of its own would choose its column.
    """
    documents = np.repeat(np.arange(5), [8, 4, 4, 4, 4])
    values = np.eye(5)[documents]
    alone = confirm(values, best(values), documents.tolist(), seed=0)
    assert alone.score == 0
    assert alone.optimism == pytest.approx(1 / 3)
    assert confirm(values, best(values), seed=0).score == pytest.approx(1 / 3)


def test_one_choice_has_its_mean_and_students_interval():
    values = np.random.default_rng(3).random((60, 1))
    found = confirm(values, best(values), seed=0)
    assert found.score == pytest.approx(values.mean())
    assert found.optimism == pytest.approx(0)
    reach = 2.0 * values.std(ddof=1) / np.sqrt(60)
    assert (found.high - found.low) / 2 == pytest.approx(reach, rel=0.15)


def test_what_answers_all_questions_may_miss_one_that_was_not_asked():
    from evalkit.stats.intervals import wilson

    found = confirm(np.ones((20, 1)), best(np.ones((20, 1))), seed=0)
    assert (found.score, found.low, found.high) == (1, pytest.approx(wilson(1.0, 20)[0]), 1)


def test_too_few_questions_confirm_nothing():
    values = np.ones((FEWEST - 1, 2))
    assert np.isnan(confirm(values, best(values), seed=0).score)


@pytest.fixture(scope="module")
def population(data_dir):
    """Hits at 5 of Cranfield's queries by 50 variants of lexical models, best first: float64 (n_queries, 50)."""
    models = [
        "bm25?k1=0.6|0.9|1.2|1.6|2.0|3.0&b=0.2|0.3|0.4|0.5|0.6|0.75|0.9",
        "tfidf?ngrams=1|2&sublinear_tf=true|false",
        "bow?ngrams=1|2",
        "rrf(bm25, tfidf)",
        "rrf(bm25, bow)",
    ]
    results = evalkit.run(
        models=models, tasks=str(data_dir / "cranfield"), on_bad_data="warn", device="cpu", metrics="hit_rate@5"
    )
    table = results.records.pivot_table(index="id", columns="model", values="value", observed=True).to_numpy()
    assert table.shape == (225, 53)
    return table[:, np.argsort(-table.mean(axis=0))[:50]]


@pytest.mark.slow
@pytest.mark.parametrize(("choices", "questions"), [(5, 30), (20, 60), (50, 30)])
def test_the_interval_covers_the_score_on_new_questions(population, choices, questions):
    """Questions are drawn of Cranfield's, whose means are the truth. The naive number is too high by much more."""
    drawn = population[:, np.linspace(0, 49, choices).astype(int)]
    rng = np.random.default_rng(choices)
    covered, errors, naive = 0, [], []
    for trial in range(TRIALS):
        values = drawn[rng.integers(0, len(drawn), questions)]
        chosen = values.mean(axis=0).argmax()
        truth = drawn[:, chosen].mean()
        found = confirm(values, best(values), seed=trial)
        covered += found.low <= truth <= found.high
        errors.append(found.score - truth)
        naive.append(values[:, chosen].mean() - truth)
    # 95 ± 1.5 %, and two standard errors of so few trials.
    assert abs(covered / TRIALS - 0.95) <= 0.015 + 2 * np.sqrt(0.95 * 0.05 / TRIALS)
    assert abs(np.mean(errors)) < np.mean(naive)
