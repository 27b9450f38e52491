"""The example of a pick: its questions fit the documents, and its committed scores are what comes out."""

from pathlib import Path

import pandas as pd
import pytest

import evalkit
from evalkit.picking.documents import read_folder
from evalkit.picking.questions import read_questions

ROOT = Path(__file__).parents[1]
QUESTIONS = ROOT / "examples" / "pick" / "questions.csv"


def test_every_quote_is_in_the_documents():
    folder = read_folder(ROOT / "docs" / "how")
    assert not folder.skipped
    assert len(read_questions(QUESTIONS, folder).questions) == 28


@pytest.mark.slow
def test_the_committed_scores_come_out_again():
    picked = evalkit.pick(
        ROOT / "docs" / "how", questions=QUESTIONS, models="bm25,all-MiniLM-L6-v2?dim=128", chunk_size=[64, 128],
        chunk_overlap=16, top_k=3, device="cpu",
    )  # fmt: skip
    keys = ["task", "split", "model", "reranker", "metric"]
    found = picked.results.scores.astype(dict.fromkeys(keys, str)).set_index(keys).sort_index()
    committed = pd.read_csv(ROOT / "reports" / "examples" / "pick" / "scores.csv").set_index(keys).sort_index()
    assert set(found.index.get_level_values("split")) == {"64/16", "128/16"}
    pd.testing.assert_frame_equal(found, committed.loc[found.index], atol=1e-6, check_dtype=False)
