"""The programs that a pick writes, each run in a fresh process where evalkit cannot be imported."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tiktoken

import evalkit
from evalkit.models.weights import at_hand
from evalkit.picking._choice import Choice
from evalkit.picking.documents import Chunking, read_folder, split
from evalkit.picking.programs import Programs, programs_of
from evalkit.picking.questions import make_task, read_questions
from evalkit.results import Results

CHUNKINGS = (Chunking.whole, Chunking(128, 16))
K = 5
DRIVER = """
import importlib, json, sys
asked = json.load(sys.stdin)
if not asked["evalkit"]:
    sys.modules["evalkit"] = None  # importing it raises ImportError
program = importlib.import_module(asked["program"])
if asked["only_from_disk"]:
    getattr(program, "plain", program).build = None
print(json.dumps([program.search(question) for question in asked["questions"]]))
"""


@dataclass
class Measured:
    """A run over a folder of documents, and the programs of its cells."""

    top: Path
    results: Results

    @property
    def documents(self) -> Path:
        return self.top / "docs"

    def programs(
        self, model: str, reranker: str = "none", chunking: Chunking = CHUNKINGS[1], metric: str = f"hit_rate@{K}"
    ) -> Programs:
        folder = read_folder(self.documents)
        chunks = {each: split(folder, each) for each in CHUNKINGS}
        choice = Choice(chunking.label, model, reranker, 1.0, {})
        return programs_of(choice, self.results, folder, chunks, self.top / "out", metric)

    def written(self, *cell, **more) -> Path:
        """The folder that the programs of a cell were written to."""
        out = self.top / "out"
        out.mkdir(exist_ok=True)
        for old in out.glob("*.*"):
            old.unlink()
        for name, text in self.programs(*cell, **more).files.items():
            (out / name).write_text(text, encoding="utf-8")
        return out

    @property
    def questions(self) -> pd.Series:
        queries = self.results.evidence.queries
        return queries.drop_duplicates("query").set_index("query")["text"]

    def assert_ranked(self, found, model, reranker="none", chunking=CHUNKINGS[1], *, copies=False):
        """What a program found for all questions is what was measured; with `copies`, either of two equal texts."""
        ranked = self.results.evidence.rankings
        cell = (ranked["model"] == model) & (ranked["reranker"] == reranker) & (ranked["split"] == chunking.label)
        texts = {chunk.id: chunk.text for chunk in split(read_folder(self.documents), chunking)}
        assert cell.any()
        for question, answers in zip(self.questions.index, found, strict=True):
            of_question = ranked[cell & (ranked["query"] == question) & (ranked["rank"] <= K)].sort_values("rank")
            ids, expected = [id for id, _, _ in answers], of_question["document"].tolist()
            assert ids == expected or (copies and [texts[id] for id in ids] == [texts[id] for id in expected])
            assert [score for _, score, _ in answers] == pytest.approx(of_question["score"].tolist(), abs=1e-5)
            assert all(texts[id] == text for id, _, text in answers)


def asked(folder: Path, program: str, questions, *, with_evalkit=False, only_from_disk=False):
    """What a program finds, in a fresh process."""
    orders = {
        "program": program, "questions": list(questions), "evalkit": with_evalkit, "only_from_disk": only_from_disk,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", DRIVER], input=json.dumps(orders), capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(folder)}, cwd=folder.anchor, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def documents(top: Path) -> None:
    """Files with Windows line ends, other scripts, equal texts, and some that are no documents."""
    docs = top / "docs"
    (docs / "tief" / "er").mkdir(parents=True)
    subjects = {
        "Straße.md": "Die Straßenbahn Nummer {n} fährt um {n} Uhr über die Brücke.  Man grüßt die Gäste.\r\n\r\n",
        "crème.txt": "The naïve café number {n} sells {n} crème brûlées a day. Its coat of arms is “old”.\r\n",
        "tief/er/龍.txt": "第{n}章 龍は空を{n}回飛んだ。 とても高かった。\n",
        "plain.txt": "The lamp number {n} blinks {n} times. Hold the button until it is dark.\n\n\n",
    }
    for name, sentence in subjects.items():
        text = "".join(sentence.format(n=n * n + 3) for n in range(20))
        (docs / name).write_bytes(text.encode())
    (docs / "copy of plain.txt").write_bytes((docs / "plain.txt").read_bytes())
    (docs / "marked.md").write_bytes("﻿# Öl\n\nOil the chain each spring.".encode())
    # No two chunks are nearly alike: the last digit of their scores would put them in order.
    apples = (
        f"Die größten Äpfel der Sorte {n * n} wachsen über dem Fluß, schöner als {1800 + 7 * n}. " for n in range(9)
    )
    (docs / "latin.txt").write_bytes("".join(apples).encode("latin-1"))
    (docs / "page.html").write_text("<title>x</title><p>The <b>parcel</b> is late.</p><p>Call the depot.</p>")
    (docs / "empty.txt").touch()
    (docs / ".hidden.txt").write_text("The lamp is hidden.")
    (docs / "photo.png").write_bytes(b"\x89PNG\0")
    (docs / "link.txt").symlink_to(docs / "plain.txt")
    rows = [
        ("Wann fährt die Straßenbahn Nummer 12?", "Straße.md"), ("How many crème brûlées are sold?", "crème.txt"),
        ("龍は何回飛んだか", "tief/er/龍.txt"), ("How do I switch the lamp number 28 off?", "plain.txt"),
        ("Where do apples grow? Äpfel", "latin.txt"), ("who has my parcel", "page.html"), ("Öl", "marked.md"),
    ]  # fmt: skip
    pd.DataFrame(rows, columns=["question", "file"]).to_csv(top / "questions.csv", index=False)


def measured(top: Path, **keys) -> Measured:
    documents(top)
    folder = read_folder(top / "docs")
    questions = read_questions(top / "questions.csv", folder)
    tasks = [make_task("docs", folder, each, split(folder, each), questions) for each in CHUNKINGS]
    return Measured(top, evalkit.run(tasks=tasks, top_k=K, candidates=8, device="cpu", **keys))


@pytest.fixture(scope="module")
def light(data_dir, tmp_path_factory):
    """BM25, static vectors, and fusions of both."""
    static = f"static:{data_dir / 'potion-base-4m-int8'}"
    models = [
        "bm25", "bm25?stemmer=german&stop_words=german&k1=1.2", static, f"{static}?dim=64&query_prompt=find: ",
        "tfidf", f"rrf({static}, bm25)", f"weighted(bm25, {static})?weight=0.3",
    ]  # fmt: skip
    return measured(tmp_path_factory.mktemp("light"), models=models, rerankers=["bm25"])


LIGHT = ["bm25", "bm25?", "static", "dim", "rrf", "weighted"]


def label(of: Measured, part: str) -> str:
    """The label of a run's model by a part of it."""
    labels = of.results.scores["model"].unique()
    wanted = {"bm25": lambda each: each == "bm25", "static": lambda each: each.endswith("int8")}
    found = wanted.get(part, lambda each: part in each)
    return next(each for each in labels if found(each))


@pytest.mark.parametrize("chunking", CHUNKINGS, ids=["whole", "128"])
@pytest.mark.parametrize(
    "part", ["bm25", *(pytest.param(part, marks=pytest.mark.slow) for part in LIGHT[1:-1]), "weighted"]
)
def test_the_plain_program_ranks_as_was_measured(light, part, chunking):
    model = label(light, part)
    out = light.written(model, chunking=chunking)
    light.assert_ranked(asked(out, "search", light.questions), model, chunking=chunking)
    light.assert_ranked(asked(out, "search", light.questions, only_from_disk=True), model, chunking=chunking)


def test_llamaindex_searches_by_the_plain_program_what_it_has_no_parts_for(light):
    model = label(light, "rrf")
    out = light.written(model)
    light.assert_ranked(asked(out, "search_llamaindex", light.questions), model)
    light.assert_ranked(asked(out, "search_llamaindex", light.questions, only_from_disk=True), model)


@pytest.mark.parametrize("cell", [("tfidf", "none"), ("bm25", "bm25")], ids=" + ".join)
def test_what_needs_evalkit_says_why(light, cell):
    programs = light.programs(*cell)
    assert programs.reason.startswith("It needs evalkit: ")
    assert {"tfidf": "tfidf", "bm25": "bm25 reranks"}[cell[0]] in programs.reason
    assert list(programs.programs) == ["search_llamaindex.py"]
    out = light.written(*cell)
    light.assert_ranked(asked(out, "search_llamaindex", light.questions, with_evalkit=True), *cell)


@pytest.mark.parametrize(
    ("model", "program"),
    [("bm25", "search"), pytest.param("tfidf", "search_llamaindex", marks=pytest.mark.slow)],
)
def test_what_is_handed_on_has_the_tokens_that_chunkings_were_compared_at(light, model, program):
    """As many of the first passages as `hit_rate@300tokens` looks at, counted here by tiktoken alone."""
    more = {"with_evalkit": True} if model == "tfidf" else {}
    tokens = tiktoken.get_encoding("cl100k_base").encode
    whole = asked(light.written(model), program, light.questions, **more)
    out = light.written(model, metric="hit_rate@300tokens")
    found = asked(out, program, light.questions, **more)
    numbers = {len(each) for each in found}
    assert len(numbers) > 1, "chunks of all lengths"
    for few, five in zip(found, whole, strict=True):
        together = np.cumsum([len(tokens(text)) for _, _, text in five])
        fits = int((together <= 300).sum())
        assert len(few) == fits if fits < len(five) else few[: len(five)] == five
        assert few[:fits] == five[:fits]


def test_a_changed_folder_is_indexed_anew(light):
    """New and changed text is read, what was deleted is forgotten, other formats are said to be left out."""
    out = light.written("bm25")
    asked(out, "search", ["lamp"])
    (first,) = (out / "index_search").iterdir()
    docs = light.documents
    kept = {name: (docs / name).read_bytes() for name in ("plain.txt", "crème.txt")}
    try:
        (docs / "new.txt").write_bytes(b"Ein Xylophon klingt hell.\r\n")
        (docs / "crème.txt").write_bytes(b"The zeppelin lands.")
        (docs / "plain.txt").unlink()
        found = asked(out, "search", ["Xylophon", "zeppelin", "café", "lamp"])
        assert [[(id, text) for id, _, text in answers] for answers in found[:3]] == [
            [("new.txt#0", "Ein Xylophon klingt hell.")], [("crème.txt#0", "The zeppelin lands.")], [],
        ]  # fmt: skip
        assert found[3]
        assert all(id.startswith("copy of plain.txt") for id, _, _ in found[3])
        (second,) = (out / "index_search").iterdir()
        assert second != first
    finally:
        (docs / "new.txt").unlink()
        for name, data in kept.items():
            (docs / name).write_bytes(data)
    light.assert_ranked(asked(out, "search", light.questions), "bm25")


def test_the_command_line_prints_the_passages(light, tmp_path):
    out = light.written("bm25")
    run = [sys.executable, out / "search.py"]
    done = subprocess.run([*run, "who has", "my parcel"], capture_output=True, text=True, check=True, cwd=tmp_path)
    first = done.stdout.splitlines()[0]
    assert "  page.html#" in first
    assert "photo.png is left out" in done.stderr
    assert "\nThe parcel is late.\n\nCall the depot.\n" in done.stdout
    done = subprocess.run(run, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert 'python search.py "your question"' in done.stderr


@pytest.fixture(scope="module")
def sbert(data_dir, tmp_path_factory):
    """A sentence transformer alone, fused and reranked; its weights and folder are given in several ways."""
    top = tmp_path_factory.mktemp("sbert")
    (top / "weights").symlink_to(at_hand("sentence-transformers/all-MiniLM-L6-v2"))
    plain = f"sbert:{top / 'weights'}"
    models = [
        "all-MiniLM-L6-v2", f"{plain}?dim=128&max_length=64&query_prompt=ask: &document_prompt=passage: ",
        f"{plain}?dim=96&similarity=dot&normalize=true", f"{plain}?similarity=euclidean",
        "rrf(all-MiniLM-L6-v2, bm25)",
    ]  # fmt: skip
    return measured(top, models=models, rerankers=[f"ce:{data_dir / 'ce-minilm'}"])


SBERT = [
    ("all-MiniLM-L6-v2", True, CHUNKINGS[1], "search"),
    ("all-MiniLM-L6-v2", True, CHUNKINGS[1], "search_llamaindex"),
    ("all-MiniLM-L6-v2", False, CHUNKINGS[0], "search"),
    ("dim=128", False, CHUNKINGS[1], "search"),
    ("dim=128", False, CHUNKINGS[1], "search_llamaindex"),
    ("dot", False, CHUNKINGS[1], "search_llamaindex"),
    ("euclidean", True, CHUNKINGS[0], "search"),
    ("rrf", True, CHUNKINGS[1], "search"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("part", "reranked", "chunking", "program"), SBERT)
def test_a_sentence_transformer_ranks_as_was_measured(sbert, part, reranked, chunking, program):
    model, reranker = label(sbert, part), "none"
    if reranked:
        reranker = next(each for each in sbert.results.scores["reranker"].unique() if each.startswith("ce:"))
    out = sbert.written(model, reranker, chunking=chunking)
    copies = (
        program == "search_llamaindex"
    )  # its matrix product gives equal vectors scores that differ in the last bit
    for only_from_disk in (False, True):
        found = asked(out, program, sbert.questions, only_from_disk=only_from_disk)
        sbert.assert_ranked(found, model, reranker, chunking, copies=copies)
