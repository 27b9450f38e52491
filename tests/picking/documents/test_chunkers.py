"""Chunkers against the output of LlamaIndex's own node parsers, and where their chunks stand in the files."""

import random
from itertools import groupby

import pytest
from llama_index.core.ingestion import run_transformations
from llama_index.core.node_parser import (
    HierarchicalNodeParser,
    MarkdownNodeParser,
    SemanticSplitterNodeParser,
    SentenceSplitter,
    get_child_nodes,
    get_leaf_nodes,
    get_root_nodes,
)
from llama_index.core.schema import Document

from evalkit.compute import Compute
from evalkit.errors import ConfigError, EvalkitError
from evalkit.integrations.llamaindex import EvalkitEmbedding
from evalkit.models.registry import build, parse_spec
from evalkit.picking.documents import Chunking, Folder, SourceFile, chunk_statistics, split
from evalkit.token_counts import count_tokens

GUIDE = """ Before any heading. It has a line.

# Guide

Welcome. This is the guide.

## Install

Get it. Then unpack it. Then run it. It asks for a folder. Give it one, and wait until it has ended.

```
# no heading
```

### On a   server

#\tOdd

## Install

Get it. Then unpack it.

#### Deep
Text under a level that was left out.
"""


def folder(*texts):
    return Folder(None, tuple(SourceFile(f"{n}.md", text) for n, text in enumerate(texts)), (), "")


def squeezed(texts):
    return ["".join(text.split()) for text in texts]


def by_llamaindex(text, *parsers):
    return [node.get_content() for node in run_transformations([Document(text=text)], parsers)]


def check_places(text, chunks):
    """Chunks are where they say, and cover the file in order."""
    covered = 0
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert text[covered : chunk.start].strip() == ""
        covered = max(covered, chunk.end)
    assert text[covered:].strip() == ""


@pytest.mark.parametrize(("size", "overlap"), [(16, 0), (16, 4), (200, 20)])
def test_markdown_is_llamaindexs_sections_cut_by_its_splitter(size, overlap):
    splitter = SentenceSplitter(chunk_size=size, chunk_overlap=overlap)
    expected = by_llamaindex(GUIDE, MarkdownNodeParser(include_metadata=False), splitter)
    chunks = split(folder(GUIDE), Chunking(size, overlap, "markdown"))
    assert squeezed(chunk.text for chunk in chunks) == squeezed(expected)
    assert squeezed(expected) != squeezed(splitter.split_text(GUIDE))
    check_places(GUIDE, chunks)


def test_markdown_in_random_repetitive_text():
    draw = random.Random(0)
    parts = ["# A\n", "\n## B\n", "a. ", "b b. ", "\n\n", "```\n", "### \n", "\n#", "é "]
    for _ in range(40):
        text = "".join(draw.choices(parts, k=draw.randint(1, 60))) + "z"
        size = draw.randint(6, 30)
        splitter = SentenceSplitter(chunk_size=size, chunk_overlap=size // 3)
        expected = squeezed(by_llamaindex(text, MarkdownNodeParser(include_metadata=False), splitter))
        chunks = split(folder(text), Chunking(size, size // 3, "markdown"))
        found = squeezed(chunk.text for chunk in chunks)
        # Neighbours that differ in blanks only are one chunk.
        assert found == expected or set(found) == set(expected)
        check_places(text, chunks)


def test_headings_are_those_that_a_chunk_stands_under():
    chunks = split(folder(GUIDE), Chunking(16, 0, "headings"))
    plain = split(folder(GUIDE), Chunking(16, 0))
    assert [(chunk.id, chunk.text) for chunk in chunks] == [(chunk.id, chunk.text) for chunk in plain]
    stack, expected = [], {}
    fenced = False
    place = 0
    for line in GUIDE.split("\n"):  # by hand: the stack before each character
        fenced ^= line.startswith("```")
        marks = len(line) - len(line.lstrip("#"))
        if marks and not fenced:
            stack = [each for each in stack if each[0] < marks]
        for column in range(len(line) + 1):
            if column and marks and not fenced and column == 1:
                stack = [*stack, (marks, line[marks:].strip())]
            expected[place + column] = " > ".join(heading for _, heading in stack)
        place += len(line) + 1
    assert [chunk.headings for chunk in chunks] == [expected[chunk.start] for chunk in chunks]
    assert {"", "Guide", "Guide > Install", "Odd > Install"} <= {chunk.headings for chunk in chunks}
    for chunk in chunks:
        assert chunk.content == f"{chunk.headings} {chunk.text}".strip()


@pytest.mark.parametrize("chunker", ["markdown", "headings"])
def test_a_comment_in_code_is_no_heading(chunker):
    code = "# first\na = 1\n# second\nb = 2\n"
    files = Folder(None, (SourceFile("a.py", code), SourceFile("a.md", code)), (), "")
    of_code, of_page = ([chunk for chunk in split(files, Chunking(100, 0, chunker)) if chunk.file == name]
                        for name in ("a.py", "a.md"))  # fmt: skip
    plain = [chunk for chunk in split(files, Chunking(100)) if chunk.file == "a.py"]
    assert of_code == plain
    assert chunker == "headings" or len(of_page) == 2


def test_headings_are_counted_in_tokens():
    chunking = Chunking(16, 0, "headings")
    chunks = split(folder(GUIDE), chunking)
    longest = chunk_statistics(folder(GUIDE), {chunking: chunks})["tokens_max"][0]
    assert longest == max(count_tokens(f"{chunk.headings} {chunk.text}".strip() for chunk in chunks)) > 16


def test_semantic_is_llamaindexs_with_an_embedder_of_evalkit(data_dir):
    spec = f"static:{data_dir / 'potion-base-4m-int8'}"
    text = " ".join(
        f"{subject} {verb} in {place}."
        for subject, verb in (("Cats", "sleep"), ("Revenue", "rose"), ("Stars", "burn"), ("Judges", "rule"))
        for place in ("winter", "the city", "April", "silence", "a small town near the coast")
    )
    embedding = EvalkitEmbedding(build(parse_spec(spec), Compute()))
    parser = SemanticSplitterNodeParser(embed_model=embedding)
    pieces = by_llamaindex(text, parser)
    assert len(pieces) > 1
    chunks = split(folder(text, "Short."), Chunking(500, 0, f"semantic?model={spec}"))
    assert squeezed(chunk.text for chunk in chunks) == squeezed([*pieces, "Short."])
    small = split(folder(text), Chunking(20, 5, f"semantic?model={spec}"))
    expected = by_llamaindex(text, parser, SentenceSplitter(chunk_size=20, chunk_overlap=5))
    assert squeezed(chunk.text for chunk in small) == squeezed(expected)
    check_places(text, small)


@pytest.mark.parametrize(("size", "leaf", "overlap"), [(60, 16, 0), (60, 16, 10), (24, 12, 3)])
def test_hierarchical_has_the_parents_and_leaves_of_llamaindex(size, leaf, overlap):
    text = GUIDE * 3 + "Hello world. " * 40 + "\n\n\nThe   end."
    parser = HierarchicalNodeParser.from_defaults(chunk_sizes=[size, leaf], chunk_overlap=overlap)
    nodes = parser.get_nodes_from_documents([Document(text=text)])
    chunks = split(folder(text), Chunking(size, overlap, f"hierarchical?leaf={leaf}"))
    parents = get_root_nodes(nodes)
    assert squeezed(chunk.text for chunk in chunks) == squeezed(node.get_content() for node in parents)
    for chunk, parent in zip(chunks, parents, strict=True):
        expected = squeezed(node.get_content() for node in get_child_nodes([parent], nodes))
        found = squeezed(leaf.text for leaf in chunk.leaves)
        assert [each for each, _ in groupby(found)] == [each for each, _ in groupby(expected)]
        assert all(each.text == text[each.start : each.end] for each in chunk.leaves)
        assert chunk.leaves[0].start == chunk.start
        assert chunk.leaves[-1].end == chunk.end
    ids = [each.id for chunk in chunks for each in chunk.leaves]
    assert len(ids) == len(set(ids)) == len(get_leaf_nodes(nodes))


@pytest.mark.parametrize(("size", "overlap", "leaf"), [(128, 0, 128), (512, 64, 64), (64, 0, 100)])
def test_leaves_are_smaller_than_chunks_and_larger_than_the_overlap(size, overlap, leaf):
    with pytest.raises(ConfigError, match=f"leaves of {leaf} tokens in chunks of {size}/{overlap}"):
        Chunking(size, overlap, f"hierarchical?leaf={leaf}")


@pytest.mark.parametrize(
    "chunker", ["hierarchical?leaf=100", "sentence", "markdown", "headings", "semantic?model=all-MiniLM-L6-v2"]
)
def test_labels_are_read_back(chunker):
    chunking = Chunking(512, 64, chunker)
    assert Chunking.labelled(chunking.label) == chunking
    assert chunking.label == ("512/64" if chunker == "sentence" else f"{chunker} 512/64")
    assert Chunking.labelled("whole") == Chunking.whole


@pytest.mark.parametrize(
    ("chunker", "message"),
    [
        ("sentences", "unknown chunker 'sentences'. Did you mean 'sentence'"),
        ("markdown?size=3", "unknown option 'size'"),
        ("semantic", "option 'model' is needed"),
        ("semantic?model=bm25", "'bm25' is a"),
        ("semantic?model=tfidf", "learns from a corpus"),
        ("semantic?model=nothing", "nothing"),
    ],
)
def test_chunkers_that_are_none(chunker, message):
    with pytest.raises(EvalkitError, match=message.replace("?", r"\?")):
        Chunking(512, 64, chunker)


def test_whole_files_have_no_chunker():
    with pytest.raises(ConfigError, match="whole files are not cut"):
        Chunking(None, chunker="markdown")
