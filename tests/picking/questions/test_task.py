"""Tasks of a folder: equal to the same data as a task, and relevance by source span."""

import json

import pytest

from evalkit.picking.documents import Chunk, Chunking, read_folder, split
from evalkit.picking.questions import Question, QuestionSet, Span, make_task, read_questions
from evalkit.picking.questions._task import relevant
from evalkit.tasks import load_task


def chunks(*bounds):
    return [Chunk(f"{start}-{end}", "a.txt", start, end, "x" * (end - start)) for start, end in bounds]


@pytest.mark.parametrize(
    ("span", "bounds", "found"),
    [
        ((10, 20), [(0, 100), (100, 200)], ["0-100"]),  # inside
        ((95, 105), [(0, 100), (100, 200)], ["0-100", "100-200"]),  # cut in halves
        ((96, 105), [(0, 100), (100, 200)], ["100-200"]),  # the larger part
        ((95, 105), [(0, 100), (90, 190)], ["0-100", "90-190"]),  # in the overlap, half of it in the first
        ((94, 106), [(0, 95), (105, 190)], ["0-95"]),  # less than half anywhere: the first of equals
        ((50, 350), [(0, 100), (100, 200), (200, 300), (300, 400)], ["0-100", "100-200", "200-300", "300-400"]),
        ((51, 349), [(0, 100), (100, 200), (200, 300), (300, 400)], ["100-200", "200-300"]),  # longer than a chunk
        ((0, 400), [(0, 300), (300, 400)], ["0-300", "300-400"]),  # a whole file
        ((500, 510), [(0, 300), (300, 400)], []),
    ],
)
def test_relevance_by_span(span, bounds, found):
    assert relevant(Span("a.txt", *span), chunks(*bounds)) == found


def test_every_chunking_judges_the_same_questions(tmp_path):
    text = " ".join(f"Sentence number {n} says {n * 7} things." for n in range(200))
    (tmp_path / "a.txt").write_text(text)
    folder = read_folder(tmp_path)
    places = [text.index(f"number {n} says") for n in range(0, 200, 9)]
    questions = QuestionSet(
        tuple(Question(str(at), f"what of {at}?", (Span("a.txt", at, at + 22),)) for at in places), "given"
    )
    for chunking in (Chunking(16), Chunking(64, 16), Chunking(1024, 64), Chunking.whole):
        task = make_task("docs", folder, chunking, split(folder, chunking), questions)
        texts = {document.id: document.text for document in task.corpus}
        assert task.split == chunking.label
        assert [query.id for query in task.queries] == [str(at) for at in places]
        for at in places:
            judged = [texts[document] for document in task.qrels[str(at)]]
            assert any(text[at : at + 11] in each or text[at + 11 : at + 22] in each for each in judged)


@pytest.mark.slow
@pytest.mark.parametrize("key", ["file", "passage"])
def test_the_10k_set_as_files_is_the_same_task(data_dir, tmp_path, key):
    expected = load_task(str(data_dir / "llamaindex-10k-val"))
    docs = tmp_path / "docs"
    docs.mkdir()
    for document in expected.corpus:
        (docs / f"{document.id}.txt").write_bytes(document.text.encode())
    texts = {document.id: document.text for document in expected.corpus}
    rows = []
    for query in expected.queries:
        [answer] = expected.qrels[query.id]
        rows.append(
            {"id": query.id, "question": query.text, key: f"{answer}.txt" if key == "file" else texts[answer]}
        )
    file = tmp_path / "questions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    folder = read_folder(docs)
    task = make_task("docs", folder, Chunking.whole, split(folder, Chunking.whole), read_questions(file, folder))
    assert {document.id: document.text for document in task.corpus} == {f"{k}.txt": v for k, v in texts.items()}
    assert [(query.id, query.text) for query in task.queries] == [(q.id, q.text) for q in expected.queries]
    assert task.qrels == {
        query: {f"{document}.txt": grade for document, grade in grades.items()}
        for query, grades in expected.qrels.items()
    }
