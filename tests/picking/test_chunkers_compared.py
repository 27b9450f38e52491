"""A pick over chunkers: the same questions, compared at equal tokens, and code that makes the same chunks."""

import runpy

import pandas as pd
import pytest
from llama_index.core.schema import NodeRelationship, TextNode

import evalkit as package
from evalkit.integrations.llamaindex import EvalkitRetriever
from evalkit.picking.documents import Chunking, read_folder, split
from evalkit.picking.programs import programs_of
from evalkit.token_counts import count_tokens

PAGES = {
    "cats.md": "# Cats\n\n## Sleep\n\nSixteen hours a day. In the sun.\n\n## Food\n\nMice and fish, twice a day.\n",
    "dogs.md": "# Dogs\n\n## Sleep\n\nTwelve hours a day. On the sofa.\n\n## Food\n\nBones and meat, once a day.\n",
}
ROWS = [
    ("how long is the sleep of cats", "Sixteen hours a day."),
    ("how long is the sleep of dogs", "Twelve hours a day."),
    ("food of cats", "Mice and fish"),
    ("food of dogs", "Bones and meat"),
]
LEAVES = "hierarchical?leaf=8"


@pytest.fixture(scope="module")
def top(tmp_path_factory):
    top = tmp_path_factory.mktemp("chunkers")
    (top / "docs").mkdir()
    for name, text in PAGES.items():
        (top / "docs" / name).write_text(text, encoding="utf-8")
    pd.DataFrame(ROWS, columns=["question", "quote"]).to_csv(top / "questions.csv", index=False)
    return top


def picked_by(top, chunker, **keys):
    return package.pick(
        top / "docs", questions=top / "questions.csv", models="bm25", hybrid=False, chunker=chunker, chunk_size=16,
        chunk_overlap=0, top_k="1,2", device="cpu", no_store=True, measure_seconds=0.01, **keys,
    )  # fmt: skip


@pytest.fixture(scope="module")
def picked(top):
    return picked_by(top, "sentence, markdown, headings, hierarchical?leaf=8")


def test_chunkers_are_compared_at_equal_tokens_on_the_same_questions(picked):
    scores = picked.results.scores
    assert set(scores["split"]) == {"16/0", "markdown 16/0", "headings 16/0", "hierarchical?leaf=8 16/0"}
    assert (scores["n"] == 4).all()
    assert picked.recommendation.metric == "hit_rate@16tokens"
    by_rank = scores.set_index(["split", "metric"])["score"]
    # Only the headings say whose sleep it is.
    assert by_rank["headings 16/0", "hit_rate@1"] > by_rank["16/0", "hit_rate@1"]


def test_what_is_handed_on_has_its_headings(picked):
    evidence = picked.results.evidence
    documents = evidence.documents[evidence.documents["split"] == "headings 16/0"].set_index("document")
    ranked = evidence.rankings[(evidence.rankings["split"] == "headings 16/0") & (evidence.rankings["rank"] <= 2)]
    found = [f"{documents['title'][each]} {documents['text'][each]}".strip() for each in ranked["document"]]
    row = picked.chunkings.set_index("chunking").loc["headings 16/0"]
    assert row["tokens_at_k"] == sum(count_tokens(found)) / 4
    assert any(title == "Cats > Sleep" for title in documents["title"])


def test_candidates_are_enough_for_short_chunks(top):
    """Half the sections have fewer tokens than the size: more of them fit."""
    picked = picked_by(top, "markdown", context_tokens=50)
    fit = picked.results.provenance["candidates"] // 2
    assert fit > 50 // 16
    assert fit * picked.chunkings["tokens_p50"][0] >= 50


def test_parents_are_found_and_judged_and_leaves_are_searched(picked):
    evidence = picked.results.evidence
    whole, parts = (evidence.documents[evidence.documents["split"] == name] for name in ("16/0", f"{LEAVES} 16/0"))
    assert set(parts["document"]) == set(whole["document"])
    judged = {name: rows[["query", "document"]].to_numpy().tolist()
              for name, rows in evidence.judgements.groupby("split", observed=True)}  # fmt: skip
    assert judged["16/0"] == judged[f"{LEAVES} 16/0"]
    facts = {each["split"]: each for each in picked.results.tasks}
    assert facts[f"{LEAVES} 16/0"]["documents"] == facts["16/0"]["documents"] < facts[f"{LEAVES} 16/0"]["passages"]


def test_vectors_of_leaves_are_counted(top, data_dir):
    static = f"static:{data_dir / 'potion-base-4m-int8'}"
    picked = package.pick(
        top / "docs", questions=top / "questions.csv", models=f"{static},bm25", rerankers=static, chunker=LEAVES,
        chunk_size=16, chunk_overlap=0, top_k=1, device="cpu", no_store=True, measure_seconds=0.01,
    )  # fmt: skip
    cells = picked.results.measurements.cells
    assert (cells["note"] == "").all()
    (facts,) = picked.results.tasks
    cell = cells[(cells["model"] == static) & (cells["reranker"] == "none")].iloc[0]
    assert cell["corpus_bytes"] == cell["vector_bytes"] * facts["passages"]
    fused = cells[cells["model"].str.startswith("rrf") & (cells["reranker"] == static)].iloc[0]
    assert fused["corpus_bytes"] == cell["corpus_bytes"]


@pytest.mark.slow
def test_late_chunks(top):
    """Only the whole says whose sleep it is; LlamaIndex's nodes of the chunks are ranked as the pick did."""
    picked = package.pick(
        top / "docs", questions=top / "questions.csv", models="all-MiniLM-L6-v2", hybrid=False,
        chunker="sentence,late", chunk_size=16, chunk_overlap=4, top_k="1,2", device="cpu", measure_seconds=0.01,
    )  # fmt: skip
    assert not picked.results.failures
    cells = picked.results.measurements.cells
    assert (cells["note"] == "").all()
    assert (cells["documents_truncated"] == 0).all()
    folder = read_folder(top / "docs")
    sources = {file.name: TextNode(id_=file.name, text=file.text) for file in folder.files}
    nodes = [
        TextNode(
            id_=chunk.id, text=chunk.text, start_char_idx=chunk.start, end_char_idx=chunk.end,
            relationships={NodeRelationship.SOURCE: sources[chunk.file].as_related_node_info()},
        )
        for chunk in split(folder, Chunking(16, 4, "late"))
    ]  # fmt: skip
    rankings = picked.results.evidence.rankings
    scores = {}
    for chunking, given in (("16/4", []), ("late 16/4", list(sources.values()))):
        retriever = EvalkitRetriever(nodes, "all-MiniLM-L6-v2", similarity_top_k=2, device="cpu", sources=given)
        found = retriever.retrieve(ROWS[0][0])
        ranked = rankings[(rankings["split"] == chunking) & (rankings["query"] == "2") & (rankings["rank"] <= 2)]
        ranked = ranked.sort_values("rank")
        assert [each.node.node_id for each in found] == ranked["document"].tolist()
        scores[chunking] = [each.score for each in found]
        assert scores[chunking] == pytest.approx(ranked["score"].tolist(), abs=1e-5)
    assert scores["16/4"] != pytest.approx(scores["late 16/4"], abs=1e-3)


def programs(picked, top, chunking):
    """The programs of the choice with a chunking, written to a folder of their own."""
    choice = next(each for each in picked.recommendation.choices if each.chunking == chunking)
    folder, cut = read_folder(top / "docs"), Chunking.labelled(chunking)
    out = top / chunking.replace("/", "-")
    made = programs_of(choice, picked.results, folder, {cut: split(folder, cut)}, out, "hit_rate@2")
    out.mkdir()
    for name, text in made.files.items():
        (out / name).write_text(text, encoding="utf-8")
    return made, out


@pytest.mark.parametrize("chunking", ["markdown 16/0", "headings 16/0"])
def test_the_code_searches_the_same_chunks(picked, top, chunking):
    made, out = programs(picked, top, chunking)
    assert "It needs evalkit: the chunker" in made.to_markdown()
    program = runpy.run_path(str(out / "search_llamaindex.py"))
    found = [identifier for identifier, _, _ in program["search"](ROWS[0][0])]
    ranked = picked.results.evidence.rankings.query("split == @chunking and query == '2'").sort_values("rank")
    assert found == ranked["document"].astype(str).tolist()[:2]
    cut = split(read_folder(top / "docs"), Chunking.labelled(chunking))
    assert program["cut"](PAGES["cats.md"]) == [chunk.content for chunk in cut if chunk.file == "cats.md"]


def test_there_is_no_code_of_leaves_and_it_is_said(picked, top):
    made, _ = programs(picked, top, f"{LEAVES} 16/0")
    assert not made.files
    assert "There is no code of it: hierarchical?leaf=8 needs more" in made.to_markdown()
