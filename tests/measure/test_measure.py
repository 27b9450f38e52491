"""What cells cost. Times are read from a clock that the models under test move, so that every figure is known."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes import FakeEmbedder, FakeReranker, retrieval_task
from scipy.sparse import csr_matrix

import evalkit
from evalkit.cell import Cell
from evalkit.compute import Compute
from evalkit.contracts import no_progress
from evalkit.models.registry import build, parse_spec
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import FusionSpec, Participants, RrfOptions, WeightedOptions, choose
from evalkit.reporting._tables import make_tables
from evalkit.reporting.measurements import as_number, measurement_tables
from evalkit.reporting.table import to_markdown
from evalkit.results import Results
from evalkit.results.records import MEASUREMENT_COLUMNS, Measurements
from evalkit.runner.context import RunContext
from evalkit.runner.measure import Limits, measure
from evalkit.runner.measure import _rounds as rounds
from evalkit.runner.measure import _stages as stages
from evalkit.runner.measure import _timing as work
from evalkit.search.ranking import best, id_ranks
from evalkit.spending import Spending
from evalkit.store import Store
from evalkit.tasks import load_task

QUERIES = {f"q{number}": f"query {number}" for number in range(12)}
MINILM = "all-MiniLM-L6-v2?max_length=32"  # for time
CORPUS = {"a": "ant", "b": "bear", "c": "cat", "d": "dog"}


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch) -> Clock:
    ticking = Clock()
    for module in (work, stages):
        monkeypatch.setattr(module, "clock", lambda compute: ticking.now)
    return ticking


def number_of(text: str) -> int:
    """Of a query of the task; a query to warm up has none of its own, and takes long."""
    return int(text.split()[1]) if text.rstrip() in QUERIES.values() else 1000


class Embeds(FakeEmbedder):
    """A query takes as many milliseconds as its number, a document 10."""

    def __init__(self, clock, turned=1):
        self.clock, self.turned = clock, turned
        super().__init__({})

    def encode(self, texts, role, advance=no_progress):
        self.calls.append((role, list(texts)))
        self.clock.now += sum(number_of(text) if role == "query" else 10 for text in texts) / 1000
        rows = [[1, number_of(text) % 4] if role == "query" else [1, self.turned * len(text)] for text in texts]
        return np.array(rows, dtype=np.float32)


class Ranks:
    """A retriever: a search takes twice as many milliseconds as the number, indexing half a second."""

    identity = {"fake": "ranks"}  # noqa: RUF012

    def __init__(self, clock):
        self.clock = clock

    def fit(self, texts):
        self.clock.now += 0.5
        return self

    def search(self, queries, document_ids, depth, advance=no_progress):
        self.clock.now += sum(2 * number_of(query) for query in queries) / 1000
        scores = np.tile(np.arange(len(document_ids), dtype=float), (len(queries), 1))
        return best(scores, id_ranks(document_ids), depth)


class Reads(FakeReranker):
    """A pair takes as many milliseconds as its document has letters, and more for the lower half of the queries."""

    def __init__(self, clock):
        self.clock = clock
        super().__init__()

    def score(self, queries, documents, advance=no_progress):
        for query, document in zip(queries, documents, strict=True):
            self.clock.now += (len(document) + 20 * (number_of(query) < 6)) / 1000
        return super().score(queries, documents)


def p50(times):
    """The shortest time within which half of the queries were answered, by sorting."""
    return np.sort(times)[int(np.ceil(0.5 * len(times))) - 1]


def p95(times):
    return np.sort(times)[int(np.ceil(0.95 * len(times))) - 1]


BRIEFLY = {"queries": 10, "seconds": 0.5}


def given(kinds=("embedder", "retriever", "reranker"), **models):
    return choose([ModelRef.from_object(label, model) for label, model in models.items()], set(kinds))


def measured(task, models, rerankers=None, fusions=None, *, store=None, spending=None, **limits) -> Measurements:
    context = RunContext(Compute(), store, spending=spending or Spending())
    participants = Participants(models, rerankers or {}, fusions or {})
    return measure([task], participants, candidates=2, context=context, limits=Limits(**{**BRIEFLY, **limits}))


def test_of_cells_that_are_not_wanted_nothing_is_measured(clock):
    """A model reads the documents of those tasks alone that a wanted cell has, of its own or of a fusion."""
    other = {name: f"{text} once more" for name, text in CORPUS.items()}
    tasks = [replace(retrieval_task(corpus, QUERIES), split=split) for corpus, split in ((CORPUS, "a"), (other, "b"))]
    wanted = {("one", "none", "a"), ("both", "reads", "b"), ("two", "none", "a"), ("two", "none", "b")}

    def cells(wanted):
        models = {"one": Embeds(clock), "two": Embeds(clock, -1), "never": Embeds(clock)}
        participants = Participants(
            given(ranks=Ranks(clock), **models), given(reads=Reads(clock)),
            {"both": FusionSpec("rrf", ("two", "ranks"), RrfOptions())},
        )  # fmt: skip
        context, limits = RunContext(Compute(), None), Limits(queries=10, seconds=60)
        found = measure(tasks, participants, candidates=2, context=context, limits=limits, wanted=wanted).cells
        read = {
            label: {text for role, texts in model.calls if role == "document" for text in texts}
            for label, model in models.items()
        }
        return found.set_index(["model", "reranker", "split"]), read

    every, _ = cells(None)
    found, read = cells({Cell(tasks[0].name, split, model, reranker) for model, reranker, split in wanted})
    assert len(every) == 20
    assert set(found.index) == wanted
    assert list(found["note"]) == [""] * 4
    assert read == {"one": set(CORPUS.values()), "two": {*CORPUS.values(), *other.values()}, "never": set()}
    for column in ("queries", "dim", "corpus_bytes", "pairs_truncated"):
        assert found[column].equals(every.loc[found.index, column]), column


def test_stages_of_a_query_are_added_before_percentiles_are_taken(clock):
    task = retrieval_task(CORPUS, QUERIES)
    models = {"dense": Embeds(clock), "other": Embeds(clock, -1), "ranks": Ranks(clock)}
    found = measured(task, given(**models), given(reads=Reads(clock)), queries=10).cells
    assert list(found["note"]) == [""] * 6
    assert list(found.columns) == MEASUREMENT_COLUMNS
    cells = found.set_index(["model", "reranker"])
    asked = np.random.default_rng(0).permutation(12)[:10]
    for label, per_query in {"dense": (1, 0), "other": (1, 0), "ranks": (0, 2)}.items():
        embed, search = (factor * asked for factor in per_query)
        alone = cells.loc[(label, "none")]
        assert alone["embed_p50_ms"] == pytest.approx(p50(embed) if label != "ranks" else np.nan, nan_ok=True)
        assert alone["search_p50_ms"] == pytest.approx(p50(search))
        assert np.isnan(alone["rerank_p50_ms"])
        assert alone["latency_p95_ms"] == pytest.approx(p95(embed + search))
        assert alone["queries"] == 10
        # Each cell's own two candidates are read.
        letters = []
        for number in asked:
            q = np.array([1, number % 4])
            turned = {"dense": 1, "other": -1}.get(label)
            scores = {
                name: row if turned is None else q @ [1, turned * len(text)]
                for row, (name, text) in enumerate(CORPUS.items())
            }
            top = sorted(scores, key=lambda name: (scores[name], name), reverse=True)[:2]
            letters.append(sum(len(CORPUS[name]) for name in top))
        rerank = np.array(letters) + 40 * (asked < 6)
        behind = cells.loc[(label, "reads")]
        assert behind["rerank_p50_ms"] == pytest.approx(p50(rerank))
        assert behind["latency_p50_ms"] == pytest.approx(p50(embed + search + rerank))
        assert behind["latency_p95_ms"] == pytest.approx(p95(embed + search + rerank))
        apart = sum(p95(stage) for stage in (embed, search, rerank))
        assert behind["latency_p95_ms"] < apart - 1, "percentiles do not add up"
    assert cells.loc[("dense", "reads"), "rerank_p50_ms"] != cells.loc[("other", "reads"), "rerank_p50_ms"]


def test_the_times_of_a_fusion_are_those_of_its_parts(clock):
    task = retrieval_task(CORPUS, QUERIES)
    fusion = FusionSpec("rrf", ("dense", "ranks"), RrfOptions())
    models = given(dense=Embeds(clock, -1), ranks=Ranks(clock))
    found = measured(task, models, given(reads=Reads(clock)), {"both": fusion}, queries=10).cells
    cells = found.set_index(["model", "reranker"])
    asked = np.random.default_rng(0).permutation(12)[:10]
    both = cells.loc[("both", "none")]
    assert both["embed_p50_ms"] == pytest.approx(p50(asked))
    assert both["search_p50_ms"] == pytest.approx(p50(2 * asked))
    assert both["latency_p95_ms"] == pytest.approx(p95(3 * asked))
    assert both["index_seconds"] == pytest.approx(0.04 + 0.5)
    assert (both["documents_per_second"], both["dim"], both["vector_bytes"]) == (pytest.approx(100), 2, 8)
    # "ranks" finds d, c, b, a. "dense" finds a and d, of 3 letters, before or after c and b, of 3 and 4.
    letters = []
    for number in asked:
        scores = {name: 1 - (number % 4) * len(text) for name, text in CORPUS.items()}
        dense = sorted(CORPUS, key=lambda name: (scores[name], name), reverse=True)
        fused = {name: 1 / (61 + dense.index(name)) + 1 / (61 + "dcba".index(name)) for name in CORPUS}
        top = sorted(CORPUS, key=lambda name: (fused[name], name), reverse=True)[:2]
        letters.append(sum(len(CORPUS[name]) for name in top))
    rerank = np.array(letters) + 40 * (asked < 6)
    assert cells.loc[("both", "reads"), "latency_p95_ms"] == pytest.approx(p95(3 * asked + rerank))


def test_a_query_for_which_a_list_is_empty():
    """BM25 finds nothing where no word is shared, and nothing at all for the last query."""
    task = retrieval_task(CORPUS, {"q1": "which ant", "q2": "what else", "q3": "any bear"})
    models = {**choose(["tfidf", "bm25"], {"embedder", "retriever"})}
    cells = measured(task, models, {}, {"both": FusionSpec("weighted", ("tfidf", "bm25"), WeightedOptions())}).cells
    assert (cells["note"] == "").all()
    assert list(cells["queries"]) == [3, 3, 3]


def test_a_fusion_of_a_model_that_fails_says_why(clock):
    fusion = FusionSpec("weighted", ("broken", "ranks"), WeightedOptions())
    models = given(broken=FakeEmbedder({}), ranks=Ranks(clock))
    notes = measured(retrieval_task(CORPUS, QUERIES), models, {}, {"both": fusion}).cells.set_index("model")["note"]
    assert notes["both"] == notes["broken"] != ""
    assert notes["ranks"] == ""


def test_rates_bytes_and_index_time(clock):
    cells = measured(retrieval_task(CORPUS, QUERIES), given(dense=Embeds(clock), ranks=Ranks(clock))).cells
    dense, ranks = (cell for _, cell in cells.iterrows())
    assert (dense["documents_per_second"], dense["index_seconds"]) == (pytest.approx(100), pytest.approx(0.04))
    assert (dense["dim"], dense["vector_bytes"], dense["corpus_bytes"]) == (2, 8, 32)
    assert ranks["index_seconds"] == pytest.approx(0.5)
    assert ranks[["documents_per_second", "dim", "vector_bytes", "corpus_bytes"]].isna().all()
    assert cells["peak_memory_mb"].isna().all(), "not in a process of their own"
    assert cells["documents_truncated"].isna().all(), "they count no tokens"
    assert set(cells["price_note"]) == {"unknown"}
    assert cells["usd_per_thousand_queries"].isna().all()


@pytest.mark.parametrize(
    ("options", "dim", "size"),
    [("", 128, 512), ("?dim=32", 32, 128), ("?dim=32&precision=int8", 32, 32), ("?dim=36&precision=binary", 36, 5)],
)
def test_bytes_of_a_vector_at_its_precision(options, dim, size, data_dir):
    model = build(parse_spec(f"static:{data_dir / 'potion-base-4m-int8'}{options}"), Compute())
    cell = measured(retrieval_task(CORPUS, QUERIES), given(m=model), queries=3).cells.iloc[0]
    assert (cell["dim"], cell["vector_bytes"], cell["corpus_bytes"]) == (dim, size, 4 * size)


def test_bytes_of_a_sparse_vector():
    model = build(parse_spec("bow"), Compute())
    task = retrieval_task({"1": "a b c", "2": "a"}, {"q": "a"})
    cell = measured(task, given(m=model)).cells.iloc[0]
    vectors = csr_matrix(model.fit(["a b c", "a"]).encode(["a b c", "a"], "document"))
    assert cell["corpus_bytes"] == vectors.data.nbytes + vectors.indices.nbytes


def test_a_slow_stage_is_cut_short_and_says_so():
    """No time is given, so that the fewest queries are timed."""
    model = FakeEmbedder(dict.fromkeys([*CORPUS.values(), *QUERIES.values(), "query 0 ?"], (1, 1)))
    cells = measured(retrieval_task(CORPUS, QUERIES), given(m=model), given(r=FakeReranker()), seconds=0).cells
    assert list(cells["queries"]) == [rounds.LEAST_QUERIES] * 2


def test_nothing_that_is_timed_is_read_from_the_store(tmp_path, data_dir, monkeypatch):
    """All vectors and scores are in the store: the corpus's are taken from there, the others made anew."""
    spec = f"static:{data_dir / 'potion-base-4m-int8'}"
    store, task = Store(tmp_path), load_task("rag-mini", max_queries=6)
    evalkit.run(models=spec, rerankers="bm25", tasks="rag-mini", max_queries=6, device="cpu", store=tmp_path)
    model = build(parse_spec(spec), Compute())
    seen: list[str] = []
    raw = model.raw
    monkeypatch.setattr(model, "raw", lambda texts, *rest: (seen.extend(texts), raw(texts, *rest))[1])
    reranker = FakeReranker()
    cells = measured(task, given(m=model), given(r=reranker), store=store, queries=5).cells
    assert store.reused == len({document.content for document in task.corpus})
    asked = [query.text for query in task.queries if query.text in seen]
    assert len(asked) == 5 == len({query.rstrip() for query, _ in reranker.pairs if query.rstrip() in asked})
    assert len([text for text in seen if text not in asked]) < rounds.MOST_DOCUMENTS + 30
    assert list(cells["queries"]) == [5, 5]


def test_a_model_that_fails_is_a_row_that_says_why(clock):
    class Broken(FakeReranker):
        def score(self, queries, documents, advance=no_progress):
            raise RuntimeError("no such kernel")

    models = given(dense=Embeds(clock), nan=FakeEmbedder({}))
    cells = measured(retrieval_task(CORPUS, QUERIES), models, given(r=Reads(clock), broken=Broken())).cells
    notes = cells.set_index(["model", "reranker"])["note"].to_dict()
    assert {key for key, note in notes.items() if not note} == {("dense", "none"), ("dense", "r")}
    assert notes["dense", "broken"] == "RuntimeError: no such kernel"
    assert notes["nan", "r"].startswith("KeyError")
    assert cells[cells["note"] != ""]["latency_p50_ms"].isna().all()


@pytest.fixture(scope="module")
def children(data_dir: Path, tmp_path_factory) -> Results:
    """Specs, each in its own process, while this one is large."""
    ballast = np.ones(100_000_000)
    static = f"static:{data_dir / 'potion-base-4m-int8'}?max_length=80"
    models = ["bm25", static, MINILM, "glove:none.txt"]
    rerankers, keys = ["tfidf", static], {"max_queries": 8, "device": "cpu"}
    store = tmp_path_factory.mktemp("store")
    results = evalkit.run(models=models, rerankers=rerankers, tasks="rag-mini", store=store, top_k=2, **keys)
    task = load_task("rag-mini", max_queries=8)
    found = measured(
        task,
        choose(models, {"embedder", "retriever"}),
        choose(rerankers, {"embedder"}),
        store=Store(store),
        queries=4,
        seconds=10,
    )
    assert ballast.nbytes == 800_000_000
    return replace(results, measurements=found)


@pytest.mark.slow
def test_memory_is_the_models_own(children):
    cells = children.measurements.cells.set_index(["model", "reranker"])
    _, static, sbert, glove = cells.index.unique("model")
    assert cells.loc[(glove, "none"), "note"].startswith("no file 'none.txt' with word vectors.")
    worked = cells[cells.index.get_level_values("model") != glove]
    assert set(worked["note"]) == {""}
    peak = worked["peak_memory_mb"]
    assert peak[(sbert, "none")] > 4 * 22.7, "its weights"
    assert 0 < peak[(static, "none")] < peak[(sbert, "none")] < 700, "not those of the process that asks"
    assert peak[(sbert, "tfidf")] > peak[(sbert, "none")]
    assert (worked["latency_p95_ms"] >= worked["latency_p50_ms"]).all()
    assert 0 < worked["pairs_truncated"][static, static] <= 1, "in both places"
    assert set(worked["usd_per_thousand_queries"]) == {0}
    assert set(worked["price_note"]) == {"local: no price", "local: no price; reranker: local: no price"}


def test_tokens_and_what_is_cut(children):
    task = load_task("rag-mini", max_queries=8)
    static = next(label for label in children.measurements.cells["model"] if label.startswith("static"))
    model = build(parse_spec(static), Compute())
    counts = model.tokens([document.content for document in task.corpus], "document")
    cell = children.measurements.cells.set_index(["model", "reranker"]).loc[(static, "none")]
    assert list(cell[["tokens_p50", "tokens_p95", "tokens_max"]]) == list(np.percentile(counts, [50, 95, 100]))
    assert cell["documents_truncated"] == pytest.approx(sum(counts > 80) / len(counts))
    long = {document.id for document, count in zip(task.corpus, counts, strict=True) if count > 80}
    relevant = {(query.id, each) for query in task.queries for each, grade in task.qrels[query.id].items() if grade}
    cut = children.measurements.truncated
    assert set(cut["model"]) == {static, MINILM}
    cut = cut[cut["model"] == static]
    assert (
        set(zip(cut["query"], cut["document"], strict=True))
        == {pair for pair in relevant if pair[1] in long}
        != set()
    )


def test_measurements_are_kept_beside_the_scores(children, tmp_path):
    replace(children, measurements=Measurements.none()).write(tmp_path / "without")
    children.write(tmp_path / "with")
    for name in ("scores.csv", "leaderboard.csv", "results.parquet"):
        assert (tmp_path / "with" / name).read_bytes() == (tmp_path / "without" / name).read_bytes()
    back = Results.read(tmp_path / "with").measurements
    pd.testing.assert_frame_equal(back.cells, children.measurements.cells, check_dtype=False, rtol=1e-5)
    pd.testing.assert_frame_equal(back.truncated, children.measurements.truncated, check_dtype=False)
    assert Results.read(tmp_path / "without").measurements.cells.empty


def test_a_table_of_costs(children):
    titles = [table.title for table in make_tables(children)]
    kinds = ["Retrieval", "Grid", "What rerankers add", "Cost", "Missed at 2", "Notes", "Vocabulary", "Failed"]
    assert [title.partition(":")[0] for title in titles] == kinds
    (table,) = measurement_tables(children)
    assert table.columns[:4] == ("Model", "Reranker", "p50 ms", "p95 ms")
    assert "USD/1000 queries" not in table.columns, "all are free"
    alone = [row for row in table.rows if row[1].text == "–"]
    shown = {row[0].text: dict(zip(table.columns, (cell.text for cell in row), strict=True)) for row in alone}
    assert (shown[MINILM]["dim"], shown[MINILM]["bytes a vector"]) == ("384", "1,536")
    assert (shown["bm25"]["dim"], shown["bm25"]["embed ms"]) == ("–", "–")
    assert "of 4 queries." in table.note
    cells = children.measurements.cells.set_index(["model", "reranker"])
    low, high = cells.loc[(MINILM, "none"), ["latency_p95_low_ms", "latency_p95_high_ms"]]
    assert shown[MINILM]["p95 ms"].endswith(f" ({as_number(low)}–{as_number(high)})")
    assert "glove:none.txt + tfidf: no file 'none.txt'" in to_markdown([table])


KILL = "import os; os.kill(os.getpid(), 9)"
KILLED_FORK = f"from evalkit.runner.measure import _child as c; c._perform = lambda job: exec('{KILL}'); c.serve()"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a signal")
@pytest.mark.parametrize("command", [KILL, KILLED_FORK], ids=["the server", "its fork"])
def test_a_process_that_dies_is_a_reason(command, monkeypatch):
    from evalkit.runner.measure import _child as child

    monkeypatch.setattr(child, "COMMAND", command)
    monkeypatch.setattr(child, "SERVER", child.Server())
    models = choose(["bm25", "tfidf"], {"embedder", "retriever"})
    notes = measured(retrieval_task(CORPUS, QUERIES), models).cells["note"]
    assert list(notes) == ["the process that measured it ended by signal 9; it may have run out of memory."] * 2
    child.SERVER.stop()


def test_a_process_that_imports_ahead_does_the_next_job(monkeypatch):
    from evalkit.runner.measure import _child as child

    server = child.Server()
    monkeypatch.setattr(child, "SERVER", server)
    server.prepare(["wave", "no_such_library"])
    cells = measured(retrieval_task(CORPUS, QUERIES), choose(["bm25", "tfidf"], {"embedder", "retriever"})).cells
    assert list(cells["note"]) == ["", ""]
    server.stop()


def test_a_job_has_the_folder_and_the_environment_of_the_process_that_gives_it(monkeypatch, tmp_path):
    """Though another process has started before they changed."""
    task = retrieval_task(CORPUS, QUERIES)
    measured(task, choose(["bm25"], {"retriever"}))
    (tmp_path / "words.txt").write_text("red 1 0\ncar 0 1\ndog 1 1\n")
    monkeypatch.chdir(tmp_path)
    note = measured(task, choose(["glove:words.txt"], {"embedder"})).cells["note"].item()
    assert "words.txt" not in note
