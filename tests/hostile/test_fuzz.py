"""The parser of specs and every loader, fuzzed: each gives a value or one of evalkit's errors, and nothing else."""

import json
import warnings
from pathlib import Path

import gensim.models
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from gensim.models.fasttext import save_facebook_model
from hostile_tasks import CORPUS, HEAD, QRELS, QUERIES, beir, lines
from hypothesis import given, settings
from hypothesis import strategies as st

import evalkit as package
from evalkit.cli.commands.shared import parse_age, parse_budget, parse_size
from evalkit.errors import EvalkitError
from evalkit.gating._baseline import Baseline
from evalkit.gating.gate import make_baseline
from evalkit.gating.policy import read_policy
from evalkit.integrations.mteb.published import read_published as read_mteb
from evalkit.models._word_files import read_fasttext, read_glove, read_word2vec
from evalkit.models.registry import expand, families, parse_spec, resolve
from evalkit.models.registry.selection import parse_fusions
from evalkit.picking._requirements import parse_requirements
from evalkit.picking.documents import FORMATS, read_folder
from evalkit.picking.questions import read_questions
from evalkit.results import Results
from evalkit.results.published import read_published
from evalkit.runner.config import read_config, read_suite
from evalkit.tasks import load_task

FUZZ = settings(max_examples=120, deadline=None, derandomize=True)


def value_or_error(call, *arguments):
    """What the call gives; None where it raises an error that is meant for users."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*arguments)
    except EvalkitError:
        return None


SPECS = st.lists(
    st.one_of(
        st.sampled_from([*families(), ":", "?", "&", "=", "|", "..", ",", "(", ")", "/", "%", "%20", "%zz", "\0"]),
        st.sampled_from(["dim", "precision", "max_length", "int8", "pooling", "cls", "weight", "rrf", "weighted"]),
        st.sampled_from(["all-MiniLM-L6-v2", "true", "1e5", "-1", "nan", "0x10", "9" * 400, "é", "\ud83d"]),
        st.text(max_size=4),
    ),
    max_size=9,
).map("".join)


@FUZZ
@given(SPECS)
def test_a_spec_comes_back_as_it_was_written(text):
    spec = value_or_error(parse_spec, text)
    assert spec is None or parse_spec(str(spec)) == spec
    for parse in (resolve, expand, parse_fusions):
        value_or_error(parse, text)


@FUZZ
@given(st.text(alphabet=st.sampled_from("latency_p95<>=~ms,dim licence|0123456789.e-+ns²٣"), max_size=24))
def test_requirements_ages_and_sizes(text):
    for parse in (parse_requirements, parse_age, parse_budget, parse_size):
        value_or_error(parse, text)


@FUZZ
@given(
    st.dictionaries(
        st.sampled_from(["models", "tasks", "rerankers", "top_k", "candidates", "seed", "device", "store", "x"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
            max_leaves=4,
        ),
    )
)
def test_keys_of_a_run(keys):
    value_or_error(read_config, keys)


EDITS = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 12),
        st.one_of(
            st.sampled_from(
                [b"", b"\0", b"\n", b'"', b",", b"{", b"]", b"\\ud83d", b"\xff", b"NaN", b"1e999", b"- ",
                 b"\xef\xbb\xbf",
                 b"&a *a", b"!!python/object/apply:os.system [exit]", b"9" * 50]
            ),
            st.binary(max_size=6),
        ),
    ),
    min_size=1, max_size=6,
)  # fmt: skip
"""Where in a file, as a share of its length, how many bytes go, and which come."""


def edited(content: bytes, edits) -> bytes:
    for place, gone, come in edits:
        at = int(place * (len(content) + 1))
        content = content[:at] + come + content[at + gone :]
    return content


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    """A sound file of each kind, by name."""
    folder = tmp_path_factory.mktemp("sound")
    run = package.run(tasks=beir(folder / "task"), models="bm25", device="cpu", no_store=True, out=folder / "run")
    make_baseline(run).write(folder / "baseline.json")
    sections = {"corpus": dict(CORPUS), "queries": dict(QUERIES), "relevant_docs": {"q1": ["d1"]}}
    (folder / "set.json").write_text(json.dumps(sections))
    for name, text in {
        "corpus.jsonl": lines(CORPUS).decode(),
        "queries.jsonl": lines(QUERIES).decode(),
        "qrels.tsv": "\n".join([HEAD, *("\t".join(map(str, row)) for row in QRELS)]),
        "pairs.csv": "sentence1,sentence2,score\na cat,the cat,4.5\na dog,rain,0\n",
        "pairs.tsv": "sentence1\tsentence2\tscore\na cat\tthe cat\t4.5\na dog\train\t0\n",
        "pairs.jsonl": json.dumps({"sentence1": "a cat", "sentence2": "the cat", "score": 4.5}) + "\n",
        "task.yaml": "type: retrieval\nname: pets\nsplits:\n  test: qrels/test.tsv\n",
        "suite.yaml": "models: [bm25, 'tfidf?ngrams=2']\ntasks: [rag-mini]\ntop_k: [1, 5]\ndevice: cpu\n",
        "policy.yaml": "margin: 0.01\nslices: [language]\nfloors: {hit_rate@5: 0.7}\nmust_pass: [q1]\n",
        "questions.csv": "id,question,quote,kind\n1,Where do cats sleep?,cats sleep on warm roofs,easy\n",
        "questions.jsonl": json.dumps({"question": "Where do cats sleep?", "file": "cats.txt"}) + "\n",
        "published.csv": "task,split,model,reranker,metric,score,n,source\nt,test,m,none,hit_rate@5,0.5,178,post\n",
        "glove.txt": "cat 0.1 0.2 0.3\ndog 0.3 0.1 0.2\n",
        "word2vec.txt": "2 3\ncat 0.1 0.2 0.3\ndog 0.3 0.1 0.2\n",
    }.items():
        (folder / name).write_text(text)
    sentences, small = [["cat", "dog", "sleeps"]] * 5, {"vector_size": 4, "min_count": 1, "workers": 1}
    words = gensim.models.Word2Vec(sentences, **small)
    words.wv.save_word2vec_format(folder / "word2vec.bin", binary=True)
    subwords = gensim.models.FastText(sentences, bucket=20, **small)
    save_facebook_model(subwords, str(folder / "fasttext.bin"))
    pq.write_table(pa.table({"_id": ["d1", "d2"], "text": ["cats sleep", "trains brake"]}), folder / "corpus.parquet")
    (folder / "docs").mkdir()
    (folder / "docs" / "cats.txt").write_text("cats sleep on warm roofs")
    (folder / "mteb.json").write_text(
        json.dumps({"task_name": "SciFact", "mteb_version": "2.0.0", "dataset_revision": "x", "evaluation_time": 1,
                    "scores": {"test": [{"hf_subset": "default", "languages": ["eng-Latn"], "main_score": 0.5}]}})
    )  # fmt: skip
    return folder


def _task_with(name: str):
    """A loader of a BEIR task of which one file is the edited one."""

    def load(file: Path) -> object:
        folder = file.parent / "task"
        beir(folder)
        place = folder / ("qrels/test.tsv" if name == "qrels.tsv" else name)
        if name == "corpus.parquet":
            (folder / "corpus.jsonl").unlink()
        file.rename(place)
        return load_task(str(folder)), load_task(str(folder), on_bad_data="warn")

    return load


def _questions(file: Path) -> object:
    (file.parent / "docs").mkdir()
    (file.parent / "docs" / "cats.txt").write_text("cats sleep on warm roofs")
    return read_questions(file, read_folder(file.parent / "docs"))


def _mteb(file: Path) -> object:
    (file.parent / "model_meta.json").write_text(json.dumps({"name": "org/model", "revision": "x"}))
    return read_mteb(file)


def _task(file: Path) -> object:
    return load_task(str(file)), load_task(str(file), on_bad_data="warn")


BEIR = ("corpus.jsonl", "corpus.parquet", "queries.jsonl", "qrels.tsv", "task.yaml")
LOADERS = {
    **{
        name: _task_with(name)
        for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv", "corpus.parquet", "task.yaml")
    },
    **dict.fromkeys(("pairs.csv", "pairs.tsv", "pairs.jsonl", "set.json"), _task),
    "suite.yaml": lambda file: read_config(read_suite(file)),
    "policy.yaml": read_policy,
    "questions.csv": _questions,
    "questions.jsonl": _questions,
    "published.csv": read_published,
    "baseline.json": Baseline.read,
    "mteb.json": _mteb,
    "glove.txt": read_glove,
    "word2vec.txt": read_word2vec,
    "word2vec.bin": read_word2vec,
    "fasttext.bin": read_fasttext,
}


@pytest.mark.parametrize("name", LOADERS)
def test_a_loader(name, files, tmp_path_factory):
    content = (files / name).read_bytes()
    read = LOADERS[name]

    def load(changed: bytes) -> object:
        file = tmp_path_factory.mktemp("fuzz") / name
        file.write_bytes(changed)
        return value_or_error(read, file)

    assert load(content) is not None, "the sound file can be read"
    gave = {True: 0, False: 0}

    @FUZZ
    @given(st.one_of(EDITS.map(lambda edits: edited(content, edits)), st.binary(max_size=60)))
    def fuzzed(changed):
        gave[load(changed) is not None] += 1

    fuzzed()
    assert gave[False], "some of it is refused"


@pytest.mark.parametrize("name", ["run.json", "results.parquet", "evidence/rankings.parquet"])
def test_a_folder_of_results(name, files, tmp_path_factory):
    content = (files / "run" / name).read_bytes()

    def load(changed: bytes) -> object:
        folder = tmp_path_factory.mktemp("fuzz")
        for file in (files / "run").rglob("*"):
            if file.is_file():
                (folder / file.relative_to(files / "run")).parent.mkdir(exist_ok=True)
                (folder / file.relative_to(files / "run")).write_bytes(file.read_bytes())
        (folder / name).write_bytes(changed)
        return value_or_error(Results.read, folder)

    assert load(content) is not None

    @settings(FUZZ, max_examples=40)
    @given(st.one_of(EDITS.map(lambda edits: edited(content, edits)), st.binary(max_size=60)))
    def fuzzed(changed):
        load(changed)

    fuzzed()


def test_documents(tmp_path_factory):
    """Files of every kind that is read, with bytes that are no such thing: listed as skipped, or read as text."""

    @settings(FUZZ, max_examples=40)
    @given(st.sampled_from(sorted(FORMATS)), st.binary(max_size=200))
    def fuzzed(suffix, content):
        folder = tmp_path_factory.mktemp("documents")
        (folder / "sound.txt").write_text("cats sleep")
        (folder / f"odd{suffix}").write_bytes(content)
        read = read_folder(folder)
        told = {each.name for each in (*read.files, *read.skipped)}
        assert told == {"sound.txt", f"odd{suffix}"}

    fuzzed()
