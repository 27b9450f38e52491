"""Published figures: what a file must hold, and what the bundled ones hold."""

import csv
import re
from pathlib import Path

import pytest

from evalkit.errors import ConfigError, DataError
from evalkit.models.registry import catalogue
from evalkit.results.published import PublishedScore, read_published
from evalkit.runner.config import read_suite

COLUMNS = "task,split,model,reranker,metric,score,n,source"


@pytest.fixture
def write(tmp_path: Path):
    def written(*rows: str, header: str = COLUMNS) -> Path:
        path = tmp_path / "figures.csv"
        path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
        return path

    return written


def test_rows_become_scores(write):
    path = write(
        "pets,test,bow,none,hit_rate@5,0.5,178,A paper", 'pairs,dev,sbert,none,spearman(cosine),-0.2,,"B, C"'
    )
    assert read_published(path) == [
        PublishedScore("pets", "test", "bow", "none", "hit_rate@5", 0.5, 178, "A paper"),
        PublishedScore("pairs", "dev", "sbert", "none", "spearman(cosine)", -0.2, None, "B, C"),
    ]


def test_every_problem_is_told_at_once(write):
    path = write(
        "pets,test,bow,none,hit_rate@5,87.6,178,A",
        "pets,test,bow,none,MRR@5,-0.1,178,A",
        "pairs,test,bow,none,spearman(cosine),-1.5,178,A",
        "pets,test,bow,none,nDCG@5,high,178,A",
        "pets,test,,none,R@5,0.5,1.5,A",
        "pets,test,bow,none,MRR@5,0.2,0,A",
        "pets,test,bow,none,AP@5,0.2,3",
    )
    with pytest.raises(DataError) as caught:
        read_published(path)
    told = "\n".join(caught.value.problems)
    for problem in (
        r"score of hit_rate@5 outside 0 to 1 \(scores are fractions, not percent\) \(1\): line 2",
        r"score of MRR@5 outside 0 to 1 .*: line 3",
        r"score of spearman\(cosine\) outside -1 to 1 .*: line 4",
        r"score is not a number \(1\): line 5",
        r"model is empty \(1\): line 6",
        r"n is not a whole number of at least 1 \(2\): line 6, line 7",
        r"the same task, split, model, reranker and metric as a row above \(1\): line 7",
        r"no field 'source' \(1\): line 8",
    ):
        assert re.search(problem, told), (problem, told)


@pytest.mark.parametrize("column", COLUMNS.split(","))
def test_a_missing_column_is_named(column: str, write):
    header = ",".join(name for name in COLUMNS.split(",") if name != column)
    values = {"task": "t", "split": "s", "model": "m", "reranker": "none", "metric": "MRR@5", "score": "1", "n": "",
              "source": "x"}  # fmt: skip
    with pytest.raises(DataError, match=f"no field '{column}'"):
        read_published(write(",".join(values[name] for name in header.split(",")), header=header))


def test_no_row_and_no_file(write, tmp_path: Path):
    with pytest.raises(DataError, match="no row"):
        read_published(write())
    with pytest.raises(ConfigError, match=r"no file '.*absent.csv' with published figures"):
        read_published(tmp_path / "absent.csv")


def test_the_boosting_rag_table_is_whole_numbers_of_178_questions():
    figures = read_published(read_suite("boosting-rag")["published"])
    hits = [figure for figure in figures if figure.metric == "hit_rate@5"]
    assert len(figures) == 2 * len(hits) == 2 * 9 * 4
    for figure in hits:
        assert figure.n == 178
        assert abs(figure.score * 178 - round(figure.score * 178)) < 2e-4
    by_key = {(figure.model, figure.reranker, figure.metric): figure.score for figure in figures}
    assert by_key["openai-ada-002", "none", "hit_rate@5"] == 0.876404
    assert by_key["jina-base", "bge-reranker-large", "MRR@5"] == 0.868539
    assert {key[0] for key in by_key} == {e.name for e in catalogue().values() if "boosting-rag" in e.sources} - {
        key[1] for key in by_key
    }


# The paper's own averages; that of sbert-nli-base is 74.89 there, and its seven figures' is 74.86.
AVERAGES = {
    "avg-glove": 61.32, "avg-bert": 54.81, "bert-cls": 29.19, "infersent-glove": 65.01,
    "universal-sentence-encoder": 71.22, "sbert-nli-base": 74.86, "sbert-nli-large": 76.55,
    "sroberta-nli-base": 74.21, "sroberta-nli-large": 76.68,
}  # fmt: skip


def test_the_sbert_papers_table_adds_up():
    figures = read_published(read_suite("sbert-paper")["published"])
    assert {figure.model for figure in figures} == {
        e.name for e in catalogue().values() if "sbert-paper" in e.sources
    }
    for model, average in AVERAGES.items():
        scores = [figure.score for figure in figures if figure.model == model]
        assert len(scores) == 7
        assert 100 * sum(scores) / 7 == pytest.approx(average, abs=0.006)
    stsb = {figure.model: figure.score for figure in figures if figure.task == "mteb:STSBenchmark"}
    assert (stsb["avg-glove"], stsb["avg-bert"], stsb["bert-cls"], stsb["sbert-nli-base"]) == (
        0.5802, 0.4635, 0.165, 0.7703,
    )  # fmt: skip


def test_bundled_figures_are_of_tasks_in_their_suite_or_say_of_which():
    suite = read_suite("sbert-paper")
    with Path(suite["published"]).open(encoding="utf-8") as file:
        assert {row["task"] for row in csv.DictReader(file)} == set(suite["tasks"])
