"""Chunks against LlamaIndex's own pieces, and their places against the files."""

import json
import random
from itertools import groupby

import pytest
from llama_index.core.node_parser import SentenceSplitter

from evalkit.errors import ConfigError
from evalkit.picking.documents import Chunking, Folder, SourceFile, split


def folder(*texts):
    return Folder(None, tuple(SourceFile(f"{n}.txt", text) for n, text in enumerate(texts)), (), "")


def squeezed(text):
    return "".join(text.split())


def check(text, size, overlap):
    """The chunks have LlamaIndex's text, are where they say, and cover the file in order."""
    chunks = split(folder(text), Chunking(size, overlap))
    pieces = SentenceSplitter(chunk_size=size, chunk_overlap=overlap).split_text(text)
    found, wanted = [squeezed(chunk.text) for chunk in chunks], [squeezed(piece) for piece in pieces]
    assert found == wanted or [key for key, _ in groupby(found)] == [key for key, _ in groupby(wanted)]
    assert all(chunk.text == text[chunk.start : chunk.end] for chunk in chunks)
    covered = 0
    for before, chunk in zip((None, *chunks), chunks, strict=False):
        assert text[covered : chunk.start].strip() == ""
        assert before is None or (chunk.start, chunk.end) > (before.start, before.end)
        covered = max(covered, chunk.end)
    assert text[covered:].strip() == ""
    return chunks


@pytest.mark.parametrize(("size", "overlap"), [(20, 0), (20, 5), (20, 19), (7, 3)])
def test_places_where_a_text_repeats_itself(size, overlap):
    text = "Hello world. " * 30 + "An end.\n\n\n   After blanks. " + "Hello world. " * 9
    assert len(check(text, size, overlap)) > 3


def test_places_in_random_repetitive_text():
    draw = random.Random(0)
    for _ in range(60):
        words = draw.choices(["a.", "bb ", "a, ", "\n\n\n ", "ccc. ", "\t", "é"], k=draw.randint(1, 120))
        size = draw.randint(4, 30)
        check("".join(words) + "z", size, draw.randint(0, size - 1))


def test_real_text(data_dir):
    lines = (data_dir / "llamaindex-10k-val" / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    text = "\n\n\n  ".join(json.loads(line)["text"] for line in lines[:40])
    check(text, 128, 20)
    check(text, 512, 64)


def test_whole_files_are_taken_as_they_are():
    chunks = split(folder(" a b ", "c\n"), Chunking.whole)
    assert [(chunk.id, chunk.text, chunk.start, chunk.end) for chunk in chunks] == [
        ("0.txt", " a b ", 0, 5),
        ("1.txt", "c\n", 0, 2),
    ]


def test_labels():
    assert [Chunking(512, 64).label, Chunking(128).label, Chunking.whole.label] == ["512/64", "128/0", "whole"]


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (-1, 0), (10, 10), (10, -1), (None, 3)])
def test_chunkings_that_cannot_be(size, overlap):
    with pytest.raises(ConfigError, match="overlap"):
        Chunking(size, overlap)


def test_a_size_that_is_too_small_for_a_character():
    with pytest.raises(ConfigError, match=r"too small for 0\.txt"):
        split(folder("👩‍🚀 🧑‍🔬 " * 3), Chunking(1))
