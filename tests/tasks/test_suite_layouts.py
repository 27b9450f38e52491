"""Every layout a task can have on disk, on small files."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from evalkit.errors import ConfigError, DataError
from evalkit.tasks import load_task
from evalkit.types import Document, Query, RetrievalTask, StsTask

CORPUS = [{"_id": "d1", "title": "Cats", "text": "Cats sleep."}, {"_id": "d2", "text": "Dogs bark."}]
QUERIES = [
    {"_id": "q1", "text": "what sleeps?", "metadata": {"language": "en", "level": 2, "nested": {"a": 1}}},
    {"_id": "q2", "text": "what barks?"},
    {"_id": "q3", "text": "what flies?"},
]
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\nq2\td2\t1\nq3\td1\t0\n"
PAIRS = 'sentence1,sentence2,score,genre\nA cat,"A cat, asleep",4.5,x\nNA,null,0,y\n'


def jsonl(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def beir(folder: Path, corpus=CORPUS, queries=QUERIES, qrels=QRELS) -> Path:
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text(jsonl(corpus))
    (folder / "queries.jsonl").write_text(jsonl(queries))
    (folder / "qrels" / "test.tsv").write_text(qrels)
    return folder


def retrieval(reference, **options) -> RetrievalTask:
    task = load_task(str(reference), **options)
    assert isinstance(task, RetrievalTask)
    return task


def sts(reference, **options) -> StsTask:
    task = load_task(str(reference), **options)
    assert isinstance(task, StsTask)
    return task


def test_beir_folder(tmp_path):
    task = retrieval(beir(tmp_path / "pets"))
    assert (task.name, task.split, task.excluded) == ("pets", "test", 1)
    assert task.corpus == (Document("d1", "Cats sleep.", "Cats"), Document("d2", "Dogs bark."))
    assert task.queries == (
        Query("q1", "what sleeps?", {"language": "en", "level": "2"}),
        Query("q2", "what barks?"),
    )
    assert task.qrels == {"q1": {"d1": 2.0, "d2": 0.0}, "q2": {"d2": 1.0}}


def test_trec_qrels_without_a_header_are_the_same_task(tmp_path):
    plain = retrieval(beir(tmp_path / "a"))
    trec = retrieval(beir(tmp_path / "b", qrels="q1 0 d1 2\nq1 0 d2 0\n\nq2\t0\td2\t1\nq3 0 d1 0\n"))
    assert trec.qrels == plain.qrels
    assert trec.content_hash == plain.content_hash


def test_gzipped_corpus_and_queries_are_the_same_task(tmp_path):
    plain = retrieval(beir(tmp_path / "a"))
    folder = beir(tmp_path / "b")
    for name in ("corpus.jsonl", "queries.jsonl"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    assert retrieval(folder).content_hash == plain.content_hash


def test_byte_order_mark_crlf_and_unicode_line_separators(tmp_path):
    folder = beir(tmp_path / "a")
    for file in (folder / "corpus.jsonl", folder / "queries.jsonl", folder / "qrels" / "test.tsv"):
        text = file.read_text(encoding="utf-8").replace("Dogs bark.", "Dogs\u2028bark.")
        file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    task = retrieval(folder)
    assert [document.text for document in task.corpus] == ["Cats sleep.", "Dogs\u2028bark."]
    assert task.qrels == {"q1": {"d1": 2.0, "d2": 0.0}, "q2": {"d2": 1.0}}


def test_ids_stay_the_strings_they_are(tmp_path):
    corpus = [{"_id": name, "text": f"text of {name}"} for name in ("007", "7", "NA", "null", "1e3")]
    corpus.append({"_id": 12, "text": "an integer in JSON"})
    qrels = "query-id\tcorpus-id\tscore\n01\t007\t1\n01\tNA\t1\n01\tnull\t1\n01\t1e3\t1\n01\t12\t1\n"
    task = retrieval(beir(tmp_path / "a", corpus, [{"_id": "01", "text": "which?"}], qrels))
    assert [document.id for document in task.corpus] == ["007", "7", "NA", "null", "1e3", "12"]
    assert task.qrels == {"01": {"007": 1, "NA": 1, "null": 1, "1e3": 1, "12": 1}}


def test_beir_folder_without_qrels(tmp_path):
    folder = beir(tmp_path / "a")
    (folder / "qrels" / "test.tsv").unlink()
    with pytest.raises(ConfigError) as caught:
        load_task(str(folder))
    assert str(caught.value) == (f"{folder}: has corpus.jsonl but no judgements. Put them in {folder}/qrels/*.tsv.")


def test_llamaindex_json_equals_beir(tmp_path):
    dataset = {
        "queries": {"q1": "what sleeps?", "q2": "what barks?", "q3": "what flies?"},
        "relevant_docs": {"q1": ["d1"], "q2": ["d2"]},
        "corpus": {"d2": "Dogs bark.", "d1": "Cats sleep."},
        "mode": "text",
    }
    (tmp_path / "pets.json").write_text(json.dumps(dataset, indent=1))
    task = retrieval(tmp_path / "pets.json")
    assert (task.name, task.split, task.excluded) == ("pets", "test", 1)
    assert task.qrels == {"q1": {"d1": 1.0}, "q2": {"d2": 1.0}}
    untitled = [{"_id": "d1", "text": "Cats sleep."}, {"_id": "d2", "title": None, "text": "Dogs bark."}]
    qrels = "query-id\tcorpus-id\tscore\nq2\td2\t1\nq1\td1\t1\n"
    assert retrieval(beir(tmp_path / "b", untitled, qrels=qrels)).content_hash == task.content_hash


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pairs.csv", PAIRS),
        ("pairs.tsv", "score\tsentence1\tsentence2\n4.5\tA cat\tA cat, asleep\n0\tNA\tnull\n"),
        (
            "pairs.jsonl",
            '{"sentence1": "A cat", "sentence2": "A cat, asleep", "score": 4.5}\n\n'
            '{"score": "0", "sentence2": "null", "sentence1": "NA", "genre": null}',
        ),
    ],
)
def test_sentence_pair_file(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    task = sts(tmp_path / name)
    assert (task.name, task.split, task.score_range) == ("pairs", "pairs", None)
    assert task.sentences1 == ("A cat", "NA")
    assert task.sentences2 == ("A cat, asleep", "null")
    assert task.gold.dtype == np.float64
    assert task.gold.tolist() == [4.5, 0.0]
    (tmp_path / "other.csv").write_text(PAIRS)
    assert task.content_hash == sts(tmp_path / "other.csv").content_hash


def test_line_end_inside_a_csv_cell(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'sentence1,sentence2,score\r\n"two\r\nlines","say ""hi""",1\r\n')
    task = sts(tmp_path / "a.csv")
    assert (task.sentences1, task.sentences2) == (("two\r\nlines",), ('say "hi"',))


def test_stray_quotation_mark_does_not_swallow_rows(tmp_path):
    (tmp_path / "a.tsv").write_text('sentence1\tsentence2\tscore\n"A cat\tA dog\t1\n"B cat\tB dog\t2\n')
    assert sts(tmp_path / "a.tsv").sentences1 == ('"A cat', '"B cat')
    assert sts(tmp_path / "a.tsv").notes == ("a.tsv: its quotation marks are read as text.",)


def test_folder_of_sentence_pairs_names_splits_by_file(tmp_path):
    for split, text in {"train": "a,b,1", "dev": "c,d,2", "test": "e,f,3"}.items():
        (tmp_path / f"{split}.csv").write_text(f"sentence1,sentence2,score\n{text}\n")
    (tmp_path / "SOURCE.md").write_text("not data")
    assert sts(tmp_path).sentences1 == ("e",)
    assert sts(tmp_path).name == tmp_path.name
    assert sts(f"{tmp_path}?split=dev").sentences1 == ("c",)


def test_faulty_split_in_a_folder_is_not_left_out_in_silence(tmp_path):
    (tmp_path / "dev.csv").write_text(PAIRS)
    (tmp_path / "test.csv").write_text("sentence1,sentence2\na,b\n")
    with pytest.raises(DataError) as caught:
        load_task(str(tmp_path))
    assert caught.value.problems == (
        "test.csv: no field 'score'; the columns are 'sentence1', 'sentence2'; needed: sentence1, sentence2, score",
    )


def test_two_files_for_a_split(tmp_path):
    (tmp_path / "test.csv").write_text(PAIRS)
    (tmp_path / "test.tsv").write_text("")
    with pytest.raises(ConfigError) as caught:
        load_task(str(tmp_path))
    assert str(caught.value) == (
        f"{tmp_path}: two files for the split 'test': test.csv and test.tsv. "
        "Remove one, or name the files in task.yaml."
    )


def test_declared_sts_task(tmp_path):
    (tmp_path / "pairs.csv").write_text(PAIRS)
    (tmp_path / "task.yaml").write_text(
        "name: cats\ntype: sts\ndescription: Cats\nlicence: CC0\nlanguage: en\n"
        "score_range: [0, 5]\nsplits: {test: pairs.csv}\n"
    )
    task = sts(tmp_path)
    assert (task.name, task.split, task.score_range) == ("cats", "test", (0.0, 5.0))


def test_declared_retrieval_task_equals_its_beir_folder(tmp_path):
    folder = beir(tmp_path / "a")
    plain = retrieval(folder)
    (folder / "corpus.jsonl").rename(folder / "documents.jsonl")
    (folder / "queries.jsonl.gz").write_bytes(gzip.compress((folder / "queries.jsonl").read_bytes()))
    (folder / "queries.jsonl").unlink()
    (folder / "task.yaml").write_text("type: retrieval\ncorpus: documents.jsonl\nsplits: {gold: qrels/test.tsv}\n")
    task = retrieval(folder)
    assert (task.name, task.split) == ("a", "gold")
    assert task.content_hash == plain.content_hash


def test_sample_keeps_order_and_depends_on_the_seed_only(tmp_path):
    queries = [{"_id": f"q{n}", "text": f"question {n}"} for n in range(50)]
    qrels = "".join(f"q{n} 0 d1 1\n" for n in range(40))
    folder = beir(tmp_path / "a", queries=queries, qrels=qrels)
    task = retrieval(folder, max_queries=10, seed=3)
    numbers = [int(query.id[1:]) for query in task.queries]
    assert len(set(numbers)) == 10
    assert numbers == sorted(numbers)
    assert set(task.qrels) == {query.id for query in task.queries}
    assert (len(task.corpus), task.excluded) == (2, 10)
    assert retrieval(folder, max_queries=10, seed=3) == task
    assert retrieval(folder, max_queries=10, seed=4).content_hash != task.content_hash
    assert retrieval(folder, max_queries=41) == retrieval(folder)


def test_sample_of_sentence_pairs(tmp_path):
    rows = "".join(f"left {n},right {n},{n}\n" for n in range(50))
    (tmp_path / "a.csv").write_text("sentence1,sentence2,score\n" + rows)
    task = sts(tmp_path / "a.csv", max_queries=10)
    gold = task.gold.astype(int).tolist()
    assert len(set(gold)) == 10
    assert gold == sorted(gold)
    assert task.sentences1 == tuple(f"left {n}" for n in gold)
    assert task.sentences2 == tuple(f"right {n}" for n in gold)
    assert sts(tmp_path / "a.csv", max_queries=50).gold.tolist() == list(range(50))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_queries": 0}, "max_queries is 0; it must be at least 1, or None for all."),
        ({"on_bad_data": "ignore"}, "on_bad_data is 'ignore'. Allowed: error, warn."),
    ],
)
def test_arguments_that_cannot_be_used(tmp_path, options, message):
    with pytest.raises(ConfigError) as caught:
        load_task(str(beir(tmp_path / "a")), **options)
    assert str(caught.value) == message
