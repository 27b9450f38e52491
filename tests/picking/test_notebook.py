"""A pick in a notebook."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

import evalkit as package
from evalkit.picking._recommendation import named


@pytest.fixture(scope="module")
def picked():
    return package.pick(
        "rag-mini", models="bm25,tfidf,bow", hybrid=False, device="cpu", measure_queries=5, measure_seconds=0.5
    )


def test_the_answer_and_one_picture(picked):
    pytest.importorskip("vl_convert")
    shown = picked._repr_html_()
    for sentence in picked.answer:
        assert sentence.split("(")[0].rstrip(". ") in shown.replace("&#x27;", "'")
    (picture,) = re.findall(r"<svg.*</svg>", shown, re.DOTALL)
    texts = {element.text for element in ElementTree.fromstring(picture).iter() if element.text}
    assert {"latency p95, ms", picked.recommendation.metric} <= texts
    assert named(picked.recommendation.shown) in texts
    points = re.findall(r'aria-roledescription="point"', picture)
    assert len(points) == len(picked.recommendation.choices)


def test_without_what_draws_it_is_said_how_to_get_the_picture(picked, monkeypatch):
    monkeypatch.setattr("evalkit.picking._notebook.find_spec", lambda name: None)
    assert "extra report" in picked._repr_html_()
