"""Every point of a surface is the cell that it names, run by itself; what cannot be had from one run is left out."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest
from fakes import FakeReranker

import evalkit as package
from evalkit.curves._latency import Ends
from evalkit.curves._variants import Variant, variants_of
from evalkit.curves.surface import COLUMNS
from evalkit.errors import ConfigError
from evalkit.models.registry.selection import choose_participants
from evalkit.models.weights import at_hand
from evalkit.results.records import MEASUREMENT_COLUMNS, Measurements

SCORES = ["score", "ci_low", "ci_high", "n"]


def shared_words(query, document):
    """Many pairs have one score, so that ties decide."""
    return float(len({*query.lower().split()} & {*document.lower().split()}))


class InCompany:
    """A reranker whose scores depend on what stands beside."""

    def __init__(self):
        self.identity = {"model": "company"}

    def score(self, queries, documents, advance=lambda finished: None):
        return np.argsort([len(text) for text in documents]).astype(float)


class Backwards:
    """Orders a list as a whole."""

    def __init__(self):
        self.identity = {"model": "backwards"}

    def rerank(self, query, documents, scores):
        return np.arange(len(documents))[::-1]


def alone(place, **keys):
    """The scores of one place of the surface, from a run of that cell alone, by metric."""
    reranked = {} if place.reranker == "none" else {"candidates": place.candidates}
    results = package.run(models=place.model, device="cpu", **{**keys, **reranked})
    assert results.failures == []
    scores = results.scores
    return scores[scores["reranker"] == place.reranker].set_index("metric")


def test_every_point_is_its_cell_run_by_itself(tmp_path, data_dir):
    words = ("words", FakeReranker(shared_words))
    how = {"tasks": "rag-mini", "max_queries": 15, "rerankers": [words], "store": tmp_path / "store"}
    models = [f"static:{data_dir / 'potion-base-4m-int8'}", "bm25"]
    surface = package.surface(
        models=models, top_k=(1, 3, 5), depths=(3, 8), dims=(64, 4096), precisions="float32,binary", candidates=20,
        measure_queries=0, device="cpu", **how,
    )  # fmt: skip
    points = surface.points
    assert list(points.columns) == COLUMNS
    assert surface.results.failures == []
    assert surface.results.provenance["candidates"] == 20
    dims = points["dim"].astype(object).where(points["dim"].notna(), None)
    expected = {(None, "")} | {*product((128, 64), ("float32", "binary"))}
    assert {*zip(dims, points["precision"], strict=True)} == expected
    places = points[["model", "reranker", "candidates"]].drop_duplicates()
    assert len(places) == 5 * 3
    for place in places.itertuples():
        here = points[np.logical_and.reduce([points[key] == getattr(place, key) for key in places.columns])]
        ks = tuple(k for k in (1, 3, 5) if not place.candidates or k <= place.candidates)
        assert set(here["k"]) == set(ks)
        single = alone(place, top_k=ks, **how)
        pd.testing.assert_frame_equal(
            here.set_index("metric")[SCORES], single[SCORES].loc[here["metric"]], check_exact=True
        )


def test_halves_of_what_a_model_has_are_taken_by_default():
    static, fixed = "glove:x.txt", "glove:x.txt?dim=100&precision=int8&rescore=60"
    given = choose_participants([static, fixed, "bm25", f"rrf({static}, bm25)"], [])
    found = variants_of(given, {static: 300, fixed: 100}, None, ["float32", "int8"])
    assert {label: (each.of, each.dim, each.precision, each.vector_bytes) for label, each in found.items()
            if each.dim} == {
        static: (static, 300, "float32", 1200), f"{static}?precision=int8": (static, 300, "int8", 300),
        f"{static}?dim=150": (static, 150, "float32", 600),
        f"{static}?dim=150&precision=int8": (static, 150, "int8", 150),
        f"{static}?dim=75": (static, 75, "float32", 300), f"{static}?dim=75&precision=int8": (static, 75, "int8", 75),
        fixed: (fixed, 100, "int8", 100),
    }  # fmt: skip
    assert {label for label, each in found.items() if not each.dim} == {"bm25", f"rrf({static}, bm25)"}


@pytest.mark.slow
def test_points_of_networks_are_their_cells_run_without_a_store(tmp_path, data_dir):
    minilm = f"sbert:{at_hand('sentence-transformers/all-MiniLM-L6-v2')}?max_length=8"
    reranker = f"ce:{data_dir / 'ce-minilm'}?max_length=32"
    how = {"tasks": str(data_dir / "llamaindex-10k-val"), "max_queries": 4, "rerankers": reranker, "top_k": (1, 5)}
    surface = package.surface(
        models=minilm, depths=(5, 9), dims=96, precisions="float32,int8", measure_queries=0, device="cpu",
        store=tmp_path / "store", **how,
    )  # fmt: skip
    points = surface.points
    for model, candidates in ((f"{minilm}&dim=96&precision=int8", 5), (minilm, 9)):
        here = points[(points["model"] == model) & (points["candidates"] == candidates)]
        assert len(here) == 12
        single = alone(here.iloc[0], no_store=True, **how)
        pd.testing.assert_frame_equal(
            here.set_index("metric")[SCORES], single[SCORES].loc[here["metric"]], check_exact=True
        )


def test_what_needs_a_run_of_its_own_is_left_out_and_said(tmp_path):
    out = tmp_path / "out"
    surface = package.surface(
        models="bm25,tfidf,rrf(bm25, tfidf),weighted(bm25, tfidf)",
        rerankers=[("company", InCompany()), ("backwards", Backwards()), ("words", FakeReranker(shared_words))],
        tasks="rag-mini", max_queries=12, top_k=5, candidates=20, measure_queries=0, device="cpu",
        store=tmp_path / "store", out=out,
    )  # fmt: skip
    assert set(surface.points["reranker"]) == {"none", "words"}
    assert set(surface.points["model"]) == {"bm25", "tfidf", "rrf(bm25, tfidf)"}
    assert [note.partition(" is left out")[0] for note in surface.notes] == [
        "backwards", "company", "weighted(bm25, tfidf)",
    ]  # fmt: skip
    assert set(surface.points["candidates"]) == {0, 5, 10, 20}
    assert {knee.of for knee in surface.knees} == {
        f"{model} + words" for model in ("bm25", "tfidf", "rrf(bm25, tfidf)")
    }
    text = (out / "surface.md").read_text()
    assert all(str(knee) in text for knee in surface.knees)
    assert json.loads((out / "run.json").read_text())["surface"]["notes"] == list(surface.notes)
    written = pd.read_csv(out / "surface.csv", keep_default_na=False, na_values={"dim": [""]})
    assert len(written) == len(surface.points)
    package.run(models="bm25", tasks="rag-mini", max_queries=2, device="cpu", out=out)
    assert not (out / "surface.csv").exists(), "of the run before"


def test_fusions_of_longer_lists_are_left_out(tmp_path):
    surface = package.surface(
        models="rrf(bm25, tfidf)", rerankers=[("words", FakeReranker(shared_words))], tasks="rag-mini", max_queries=3,
        candidates=101, depths=[10], measure_queries=0, device="cpu", store=tmp_path / "store",
    )  # fmt: skip
    assert set(surface.points["model"]) == {"bm25", "tfidf"}
    assert "it fuses lists of 101 here" in surface.notes[0]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"no_store": True}, "leave out no_store"),
        ({"metrics": "nDCG@5,hit_rate@200tokens"}, "leave out hit_rate@200tokens"),
        ({"depths": "5,x"}, "whole numbers above 0"),
        ({"depths": 0}, "whole numbers above 0"),
        ({"depths": 30, "candidates": 20}, "depths go to 30, and candidates=20"),
        ({"depths": 3, "candidates": 20, "top_k": (5, 10)}, "fewer than the smallest k, 5"),
        ({"precisions": "int4"}, "float32, int8, binary"),
        ({"tasks": "sts-mini"}, "sts-mini has none"),
    ],
)
def test_what_a_surface_cannot_be_made_of(keys, said):
    with pytest.raises(ConfigError, match=said):
        package.surface(**{"models": "bm25", "tasks": "rag-mini", "device": "cpu", **keys})


def cells(**figures):
    rows = [{**dict.fromkeys(MEASUREMENT_COLUMNS, np.nan), "task": "t", "split": "s", "note": "", **row}
            for row in figures["rows"]]  # fmt: skip
    return pd.DataFrame(rows, columns=MEASUREMENT_COLUMNS)


def test_between_the_ends_costs_are_on_a_line():
    def row(model, reranker, **figures):
        return {"model": model, "reranker": reranker, **figures}

    first = {
        "search_p50_ms": 4.0,
        "dim": 128.0,
        "latency_p50_ms": 10.0,
        "latency_p95_ms": 20.0,
        "vector_bytes": 512.0,
    }
    deep = cells(rows=[row("m", "none", **first), row("m", "r", latency_p50_ms=110.0, latency_p95_ms=220.0)])
    shallow = cells(rows=[row("m", "none", **first), row("m", "r", latency_p50_ms=20.0, latency_p95_ms=40.0)])
    narrow = cells(rows=[row("m?dim=32", "none", search_p50_ms=1.0, dim=32.0)])
    ends = Ends(shallow, Measurements(deep, deep), narrow, fewest=10, most=100)
    named = [
        Variant("m", "m", 128, "float32"),
        Variant("m?dim=64", "m", 64, "int8"),
        Variant("m?dim=32", "m", 32, "float32"),
    ]
    variants = {variant.label: variant for variant in named}
    places = [("m", "none", 0), ("m", "r", 10), ("m", "r", 40), ("m?dim=64", "r", 100), ("m?dim=32", "none", 0)]
    points = pd.DataFrame(
        [{"task": "t", "split": "s", "model": m, "reranker": r, "candidates": c, "vector_bytes": 0.0}
         for m, r, c in places]
    )  # fmt: skip
    found = ends.predict(points, variants)
    assert found["latency_p50_ms"].tolist() == pytest.approx([10, 20, 50, 108, 7])
    assert found["latency_p95_ms"].tolist() == pytest.approx([20, 40, 100, 218, 17])
    assert found["vector_bytes"].tolist() == [512, 512, 512, 64, 128]


def test_measured_ends_are_points(tmp_path, data_dir):
    model = f"static:{data_dir / 'potion-base-4m-int8'}"
    surface = package.surface(
        models=[model, "bm25"], rerankers=[("words", FakeReranker(shared_words))], tasks="rag-mini", max_queries=5,
        top_k=5, depths=(5, 20, 50), precisions="int8", measure_queries=3, measure_seconds=0.2, device="cpu",
        store=tmp_path / "store",
    )  # fmt: skip
    points = surface.points
    assert (points["latency_p50_ms"] > 0).all()
    measured = surface.results.measurements.cells.set_index(["model", "reranker"])
    for model_name, reranker, candidates in ((model, "none", 0), (model, "words", 50), ("bm25", "words", 50)):
        same = (
            (points["model"] == model_name) & (points["reranker"] == reranker) & (points["candidates"] == candidates)
        )
        found = points[same]["latency_p95_ms"].unique()
        assert found == pytest.approx(measured.loc[(model_name, reranker), "latency_p95_ms"])


def test_the_command(evalkit, tmp_path):
    status, out, _ = evalkit(
        "surface", "--models", "tfidf", "--rerankers", "tfidf", "--tasks", "rag-mini", "--max-queries", "8",
        "--top-k", "1", "--depths", "1,2,5", "--measure-queries", "0", "--device", "cpu", "--out", tmp_path / "out",
    )  # fmt: skip
    assert status == 0
    assert "rag-mini (test), tfidf + tfidf: 1 candidates, nDCG@1" in out
    assert (tmp_path / "out" / "surface.csv").is_file()
