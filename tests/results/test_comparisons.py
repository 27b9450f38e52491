"""Which differences are more than noise: against plain numpy and scipy, on records made up and on real runs."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import evalkit
from evalkit.errors import ConfigError
from evalkit.results import Results
from evalkit.results.across import across_tasks
from evalkit.results.comparisons import against_best, detectable, needed, pairwise, reranker_gains
from evalkit.stats.paired import smallest_difference

QUERIES = 200
CELLS = {
    ("good", "none"): 0.7,
    ("same", "none"): 0.69,
    ("bad", "none"): 0.45,
    ("good", "ce"): 0.7,
    ("bad", "ce"): 0.6,
}


def made(tasks, queries=QUERIES, seed=0):
    """Results of tasks (name -> cell -> share of hits): a query's difficulty is common to all cells."""
    rng = np.random.default_rng(seed)
    rows = []
    for task, cells in tasks.items():
        hard = rng.random(queries)
        for (model, reranker), share in cells.items():
            hits = hard + rng.normal(0, 0.05, queries) < share
            for query, hit in enumerate(hits):
                for metric in ("hit_rate@5", "nDCG@5"):
                    rows.append((task, "test", model, reranker, f"q{query}", metric, float(hit)))
    records = pd.DataFrame(rows, columns=["task", "split", "model", "reranker", "id", "metric", "value"])
    told = [{"task": task, "split": "test", "type": "retrieval"} for task in tasks]
    return Results(
        records.astype(dict.fromkeys(records.columns[:-1], "category")), {"seed": 0, "tasks": told, "failures": []}
    )


@pytest.fixture(scope="module")
def results():
    return made({"pets": CELLS})


@pytest.fixture(scope="module")
def values(results):
    return results.records[results.records["metric"] == "hit_rate@5"].pivot(
        index="id", columns=["model", "reranker"], values="value"
    )


def test_the_group_that_cannot_be_told_from_the_best(results, values):
    board = against_best(results, "pets", "test", "hit_rate@5")
    assert list(board["score"]) == sorted(values.mean(), reverse=True)
    assert board["difference"].iloc[0] == 0
    assert set(board[board["tied"]]["model"]) == {"good", "same"}
    assert set(board[~board["tied"]]["model"]) == {"bad"}
    best = values[tuple(board.loc[0, ["model", "reranker"]])]
    for _, row in board[1:].iterrows():
        own = values[row["model"], row["reranker"]]
        assert row["difference"] == pytest.approx((best - own).mean())
        assert row["sd"] == pytest.approx((best - own).std(ddof=1))
        assert row["diff_low"] <= row["difference"] <= row["diff_high"]
        peer = stats.permutation_test(
            (best, own), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=4000, rng=0
        )
        assert row["p"] == pytest.approx(peer.pvalue, abs=0.03)
        assert row["p_corrected"] >= row["p"] - 1e-3
    assert (board["rank_low"] <= board["rank"]).all()
    assert (board["rank"] <= board["rank_high"]).all()
    assert list(board["rank"]) == list(board["score"].rank(ascending=False, method="min"))
    assert board["rank_low"].iloc[-1] == board["rank_high"].iloc[-1] == 5


def test_some_cells_only(results):
    first_stage = [cell for cell in CELLS if cell[1] == "none"]
    board = against_best(results, "pets", "test", "hit_rate@5", first_stage)
    assert set(zip(board["model"], board["reranker"], strict=True)) == set(first_stage)
    assert board["rank_high"].max() == 3


def test_all_pairs(results, values):
    pairs = pairwise(results, "pets", "test", "hit_rate@5")
    assert len(pairs) == len(list(itertools.combinations(CELLS, 2)))
    for _, row in pairs.iterrows():
        difference = values[row["model_a"], row["reranker_a"]] - values[row["model_b"], row["reranker_b"]]
        assert row["difference"] == pytest.approx(difference.mean())
        assert row["n"] == QUERIES


def test_what_a_reranker_adds(results, values):
    gains = reranker_gains(results, "pets", "test", "hit_rate@5").set_index(["model", "reranker"])
    assert set(gains.index) == {("good", "ce"), ("bad", "ce"), ("all", "ce")}
    for model in ("good", "bad"):
        expected = (values[model, "ce"] - values[model, "none"]).mean()
        assert gains.loc[(model, "ce"), "difference"] == pytest.approx(expected)
    pooled = (values["good", "ce"] + values["bad", "ce"] - values["good", "none"] - values["bad", "none"]) / 2
    assert gains.loc[("all", "ce"), "difference"] == pytest.approx(pooled.mean())
    assert gains.loc[("bad", "ce"), "p_holm"] < 0.05 < gains.loc[("good", "ce"), "p_holm"]
    without = made({"pets": {cell: share for cell, share in CELLS.items() if cell[1] == "none"}})
    assert reranker_gains(without, "pets", "test", "hit_rate@5").empty


def test_what_this_number_of_queries_shows(results):
    board = against_best(results, "pets", "test", "hit_rate@5")
    sd = np.median(board["sd"].dropna())
    assert detectable(board) == pytest.approx(smallest_difference(sd, QUERIES))
    assert np.isnan(detectable(board[:1].assign(sd=np.nan)))
    # A copy of the best says nothing of what differs from it.
    copies = pd.concat([board, *[board[board["sd"].isna()].assign(sd=0.0)] * 9])
    assert detectable(copies) == detectable(board)


def test_one_cell_is_the_best():
    board = against_best(made({"pets": {("only", "none"): 0.5}}), "pets", "test", "hit_rate@5")
    assert board.loc[0, ["difference", "p_corrected", "tied", "rank", "rank_low"]].tolist() == [0, 1, True, 1, 1]


@settings(max_examples=30, deadline=None)
@given(
    queries=st.integers(1, 60),
    cells=st.integers(1, 9),
    spread=st.sampled_from([0.0, 0.02, 0.1, 0.5]),
    missing=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 1000),
)
def test_ranks_their_intervals_and_ties_agree(queries, cells, spread, missing, seed):
    rng = np.random.default_rng(seed)
    values = rng.random((queries, 1)) + rng.normal(0, 0.1, (queries, cells)) - spread * np.arange(cells)
    values = np.round(np.clip(values, 0, 1), 1)
    values[rng.random(values.shape) < missing] = np.nan
    rows = [
        ("t", "test", f"m{cell}", "none", f"q{query}", "nDCG@5", values[query, cell])
        for cell in range(cells)
        for query in range(queries)
    ]
    records = pd.DataFrame(rows, columns=["task", "split", "model", "reranker", "id", "metric", "value"])
    board = against_best(Results(records, {"seed": seed, "failures": []}), "t", "test", "nDCG@5")
    scored = board[board["rank"].notna()]
    assert scored["rank"].tolist() == scored["score"].rank(ascending=False, method="min").tolist()
    assert (scored["rank_low"] <= scored["rank"]).all()
    assert (scored["rank"] <= scored["rank_high"]).all()
    assert (scored["rank_high"] <= len(scored)).all()
    assert (scored["tied"] == (scored["rank_low"] == 1)).all()
    # What is told from the best is not tied with it, and counts in the best's own interval.
    apart = scored["p_corrected"] <= 0.05
    assert not (apart & scored["tied"]).any()
    if len(scored):
        assert scored["rank_high"].iloc[0] >= scored["tied"].sum()
        same = scored[scored["score"] == scored["score"].iloc[0]]
        assert same["tied"].all(), "the best score is never told from itself"
    assert not board[board["rank"].isna()]["tied"].any()
    assert board[board["rank"].isna()]["rank_low"].isna().all()


def test_a_metric_that_is_no_mean_over_queries_is_refused(results):
    with pytest.raises(ConfigError, match=r"'hit_rate@9' of pets .test. cannot be compared query by query. Did you"):
        against_best(results, "pets", "test", "hit_rate@9")


def test_across_tasks(results):
    both = made({"pets": CELLS, "fish": CELLS}, seed=1)
    board = across_tasks(both).set_index(["model", "reranker"])
    scores = both.scores[both.scores["metric"] == "nDCG@5"].pivot(
        index=["model", "reranker"], columns="task", values="score"
    )
    ranks = scores.rank(ascending=False)
    for cell, row in board.iterrows():
        assert row["mean"] == pytest.approx(scores.loc[cell].mean())
        assert row["mean_rank"] == pytest.approx(ranks.loc[cell].mean())
        assert row["borda"] == pytest.approx((len(CELLS) - ranks.loc[cell]).sum())
        for measure in ("mean", "mean_rank", "borda"):
            assert row[f"{measure}_low"] <= row[measure] <= row[f"{measure}_high"]
    # Two independent tasks: the mean's interval is narrower than each task's by the square root of 2.
    alone = both.scores[both.scores["metric"] == "nDCG@5"].groupby(["model", "reranker"], observed=True)
    widths = alone.apply(lambda part: np.hypot(*(part["ci_high"] - part["ci_low"])) / 2)
    np.testing.assert_allclose(board["mean_high"] - board["mean_low"], widths.loc[list(board.index)], rtol=0.1)
    assert across_tasks(results).empty


def test_a_missing_cell_is_named_and_has_no_average():
    fewer = {cell: share for cell, share in CELLS.items() if cell != ("good", "none")}
    board = across_tasks(made({"pets": CELLS, "fish": fewer})).set_index(["model", "reranker"])
    assert board.loc[("good", "none"), "missing"] == "fish (test)"
    assert board.loc[("good", "none"), ["mean", "mean_rank", "borda", "mean_low"]].isna().all()
    assert board.loc[("same", "none"), "missing"] == ""
    # Ranked among those that have all tasks.
    assert board["mean_rank"].max() == len(CELLS) - 1


def test_sentences_by_the_paired_bootstrap_of_spearman(data_dir):
    found = evalkit.run(models="tfidf,bow", tasks="stsb-en", device="cpu", max_queries=300)
    board = against_best(found, "stsb-en", found.scores["split"][0], "spearman(cosine)")
    records = found.records.pivot(index="id", columns=["model", "metric"], values="value")
    gold = found.gold.set_index("id")["value"]
    rho = {
        m: stats.spearmanr(records[m, "cosine"], gold[records.index], nan_policy="omit").statistic
        for m in ("tfidf", "bow")
    }
    assert dict(zip(board["model"], board["score"], strict=True)) == pytest.approx(rho)
    both = records[records["tfidf", "cosine"].notna() & records["bow", "cosine"].notna()]
    paired = [stats.spearmanr(both[m, "cosine"], gold[both.index]).statistic for m in board["model"]]
    assert board["difference"].iloc[1] == pytest.approx(paired[0] - paired[1])
    with pytest.raises(ConfigError, match=r"'pearson\(cosine\)'"):
        against_best(found, "stsb-en", found.scores["split"][0], "pearson(cosine)")


def test_queries_needed_and_the_difference_they_show_are_inverse():
    board = pd.DataFrame({"sd": [np.nan, 0.3, 0.5, 0.4], "n": 200})
    least = detectable(board)
    assert needed(board, least) == pytest.approx(200, abs=1)
    # Four times the queries for half the difference, but for the few that a t-test takes more.
    assert needed(board, least / 2) == pytest.approx(800, abs=5)
    assert np.isnan(needed(board.head(1), 0.01))
