"""Published figures in results: kept apart from what was measured, written and read again, shown as what they are."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import write_tasks
from scipy.stats import binomtest

import evalkit
from evalkit.reporting._tables import make_tables
from evalkit.reporting.table import to_markdown
from evalkit.results import Results
from evalkit.stats.intervals import wilson

FIGURES = """\
task,split,model,reranker,metric,score,n,source
pets,test,bow,none,hit_rate@5,0.876404,178,Somebody 2023
pets,test,bow,none,MRR@5,0.718165,178,Somebody 2023
pets,test,retired,bm25,hit_rate@5,0.999,,Somebody 2023
elsewhere,test,bow,none,spearman(cosine),0.5,10,"Another, 2019"
"""


@pytest.fixture
def pets(tmp_path: Path) -> str:
    return write_tasks(tmp_path)[0]


@pytest.fixture
def figures(tmp_path: Path) -> Path:
    path = tmp_path / "figures.csv"
    path.write_text(FIGURES, encoding="utf-8")
    return path


@pytest.mark.parametrize(("hits", "n"), [(156, 178), (0, 5), (5, 5), (1, 1), (50, 100)])
def test_wilson_is_scipys(hits: int, n: int):
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    np.testing.assert_allclose(wilson(hits / n, n), (expected.low, expected.high), atol=1e-12)


def test_wilson_of_nothing_is_nan():
    assert np.isnan(wilson(0.5, 0)).all()
    assert np.isnan(wilson(float("nan"), 5)).all()


def test_a_run_keeps_them_apart(pets: str, figures: Path, tmp_path: Path):
    plain = evalkit.run(models="bow", tasks=pets, rerankers="bm25", out=tmp_path / "plain")
    beside = evalkit.run(models="bow", tasks=pets, rerankers="bm25", published=figures, out=tmp_path / "beside")
    for name in ("scores.csv", "leaderboard.csv", "results.parquet"):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "beside" / name).read_bytes()
    pd.testing.assert_frame_equal(plain.scores, beside.scores)
    assert plain.published.empty
    assert list(plain.published.columns) == list(beside.published.columns)
    assert not (tmp_path / "plain" / "published.csv").exists()
    assert plain.provenance["published"] is None
    source = json.loads((tmp_path / "beside" / "run.json").read_text())["published"]
    assert source["file"] == "figures.csv"
    assert source["sources"] == ["Somebody 2023", "Another, 2019"]


def test_the_frame_has_an_interval_where_n_says_how_wide(pets: str, figures: Path):
    frame = evalkit.run(models="bow", tasks=pets, published=figures).published
    assert frame["score"].tolist() == [0.876404, 0.718165, 0.999, 0.5]
    assert frame["n"].tolist()[:2] == [178, 178]
    assert pd.isna(frame["n"][2])
    assert (frame["ci_low"][0], frame["ci_high"][0]) == pytest.approx(wilson(0.876404, 178))
    assert frame["ci_low"][1:].isna().all()


def test_they_are_read_again_as_they_were(pets: str, figures: Path, tmp_path: Path):
    out = tmp_path / "out"
    ran = evalkit.run(models="bow", tasks=pets, published=figures, out=out)
    pd.testing.assert_frame_equal(Results.read(out).published, ran.published)
    again = evalkit.run(models="bow", tasks=pets, published=out / "published.csv")
    pd.testing.assert_frame_equal(again.published, ran.published)
    without = evalkit.run(models="bow", tasks=pets, out=out)
    assert Results.read(out).published.empty
    assert without.published.empty


def test_tables_mark_them_and_set_the_runs_own_score_beside(pets: str, figures: Path):
    results = evalkit.run(models="bow", tasks=pets, rerankers="bm25", published=figures)
    tables = make_tables(results)
    own_task, other_task = (table for table in tables if table.title.startswith("Published"))
    assert "published" not in to_markdown([table for table in tables if table not in (own_task, other_task)]).lower()
    here = results.scores.set_index(["model", "reranker", "metric"])["score"]
    hit, mrr = (here["bow", "none", metric] for metric in ("hit_rate@5", "MRR@5"))
    assert to_markdown([own_task]) == (
        "### Published, not measured here: pets (test)\n\n"
        "| Model | Reranker | hit\\_rate@5 | here | MRR@5 | here |\n| --- | --- | ---: | ---: | ---: | ---: |\n"
        f"| published: bow | none | 0.8764 (0.820–0.917) | {hit:.4f} | 0.7182 | {mrr:.4f} |\n"
        "| published: retired | bm25 | 0.9990 | – | – | – |\n\n"
        "Source: Somebody 2023. Column 'here': this run's own score, where it has one of that name. "
        "In brackets: Wilson's 95 % intervals.\n"
    )
    assert other_task.title == "Published, not measured here: elsewhere (test)"
    assert [cell.text for cell in other_task.rows[0]] == ["published: bow", "none", "0.5000"]


def test_on_the_command_line_and_in_a_suite(evalkit, pets: str, figures: Path, tmp_path: Path):
    given = ["--models", "bow", "--tasks", pets, "--out", tmp_path / "out"]
    status, shown, _ = evalkit("run", *given, "--published", figures)
    assert status == 0
    assert "Published, not measured here: pets (test)" in shown
    assert "Published, not measured here" in (tmp_path / "out" / "leaderboard.md").read_text(encoding="utf-8")
    suite = figures.parent / "own.yaml"
    suite.write_text(f"models: [bow]\ntasks: ['{pets}']\npublished: figures.csv\n")
    assert "published: retired" in evalkit("run", suite, "--out", tmp_path / "suite")[1]
    figures.write_text(FIGURES.replace("0.5,10", "50,10"), encoding="utf-8")
    status, _, errors = evalkit("run", suite, "--out", tmp_path / "suite")
    assert status == 2
    assert "score of spearman(cosine) outside -1 to 1" in errors
