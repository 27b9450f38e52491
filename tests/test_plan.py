"""`--dry-run`: what a run would do, told without a model, a download or the data of tasks that are elsewhere."""

import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
import torch
import yaml
from fakes import write_tasks

from evalkit.models.registry import catalogue, families, reference, resolve
from evalkit.models.registry.catalogue import Price
from evalkit.runner import run as pipeline
from evalkit.runner._plan import Plan
from evalkit.runner.config import read_config, read_suite
from evalkit.tasks import load_task
from evalkit.tasks.reference import bundled_tasks

SUITES = ["sbert-paper", "boosting-rag", "mteb-sts", "mteb-retrieval-small"]


@pytest.fixture
def nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model is made ready for a run, no weights are read, and no socket is opened, though it might be."""

    def refused(*given: object) -> None:
        raise AssertionError(f"a dry run must not do this: {given}")

    monkeypatch.setattr(reference, "build", refused)
    monkeypatch.setattr(torch.Tensor, "isfinite", refused)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket.socket, "connect", refused)


def plan(**keys: object) -> Plan:
    return pipeline.plan_config(read_config(keys))


def test_a_plan_counts_what_a_run_then_does(tmp_path: Path):
    pets, pairs = write_tasks(tmp_path)
    keys = {"models": ["bow", "tfidf", "bm25"], "tasks": [pets, pairs], "rerankers": ["bm25"], "top_k": 1}
    found = plan(**keys)
    assert found.cells == 2 * 1 + 3 * 2
    assert [(task.kind.name, task.size, task.queries, task.documents) for task in found.tasks] == [
        ("retrieval", "3 queries, 4 documents", 3, 4), ("sts", "6 pairs", 0, 0),
    ]  # fmt: skip
    task = load_task(pairs)
    sentences = {*task.sentences1, *task.sentences2}
    assert found.tasks[1].texts == len(sentences)
    assert found.tasks[1].characters == sum(map(len, sentences))
    assert found.tasks[0].texts == 3 + 3  # two of the four documents are one text
    assert found.texts == 2 * (6 + len(sentences))
    assert found.pairs == 3 * 4  # three queries, and no more than the four documents
    assert {model.weights for model in found.models} == {"none"}
    results = pipeline.run(**keys)
    assert len(results.provenance["cells"]) == found.cells


@pytest.mark.usefixtures("nothing_happens")
def test_weights_are_at_hand_or_must_be_downloaded():
    found = plan(
        models=["all-MiniLM-L6-v2", "bert:all-MiniLM-L6-v2?pooling=cls", "bge-base", "sbert:nobody/knows", "bow"],
        tasks="sts-mini",
        sizes={"bge-base": {"megabytes": 7}},
    )
    small, pooled, declared, unknown, lexical = found.models
    assert (small.weights, pooled.weights) == ("at hand", "at hand")
    assert small.megabytes == pytest.approx(91.6, abs=1)  # 22.7 million float32 numbers, and a tokenizer
    assert (declared.weights, declared.megabytes) == ("to download", 7)
    assert (unknown.weights, unknown.megabytes) == ("to download", None)
    assert (lexical.weights, lexical.megabytes) == ("none", 0)


@pytest.mark.usefixtures("nothing_happens")
def test_without_a_declared_size_the_catalogues_parameters_tell(tmp_path: Path):
    (model,) = plan(models="bge-base", tasks="sts-mini").models
    assert model.megabytes == 4 * catalogue()["bge-base"].parameters


@pytest.mark.usefixtures("nothing_happens")
def test_tasks_elsewhere_have_the_size_that_the_suite_declares():
    sizes = {"mteb:A": {"pairs": 50, "megabytes": 1}, "mteb:B": {"queries": 10, "documents": 30}}
    found = plan(models=["bow"], tasks=["mteb:A", "mteb:B", "mteb:C"], rerankers="bm25", sizes=sizes, max_queries=20)
    assert [(task.where, task.size) for task in found.tasks] == [
        ("as the suite declares", "20 pairs"), ("as the suite declares", "10 queries, 30 documents"),
        ("unknown", "unknown"),
    ]  # fmt: skip
    assert [(task.queries, task.texts) for task in found.tasks] == [(0, 40), (10, 40), (0, 0)]
    assert (found.cells, found.pairs) == (1 + 2, 100)


class TestCost:
    """Of models behind an API, by the catalogue's prices."""

    @pytest.fixture
    @staticmethod
    def priced(monkeypatch: pytest.MonkeyPatch) -> None:
        """Two models of the catalogue, taken for models of a provider with a price."""
        entries = dict(catalogue())
        for name, usd, per in (("bge-base", 0.5, "million tokens"), ("bge-reranker-base", 2, "thousand searches")):
            price = Price(usd=usd, per=per, as_of="2026-01", source="a page")
            entries[name] = entries[name].model_copy(update={"provider": "somebody", "price": price})
        monkeypatch.setattr(sys.modules["evalkit.models.registry.catalogue"], "catalogue", lambda: entries)

    @pytest.mark.usefixtures("priced", "nothing_happens")
    def test_tokens_are_a_quarter_of_the_characters_and_searches_are_queries(self):
        task = load_task("rag-mini")
        texts = {*(document.content for document in task.corpus), *(query.text for query in task.queries)}
        found = plan(models="bge-base", tasks="rag-mini", rerankers="bge-reranker-base")
        embedder, reranker = found.models
        assert embedder.weights == "behind an API"
        assert embedder.usd == pytest.approx(0.5 * sum(map(len, texts)) / 4 / 1e6, rel=1e-4)
        assert reranker.usd == pytest.approx(2 * 252 / 1e3)

    @pytest.mark.usefixtures("priced", "nothing_happens")
    def test_of_texts_that_are_not_at_hand_it_is_unknown(self):
        found = plan(models="bge-base", tasks="mteb:A", sizes={"mteb:A": {"pairs": 5}})
        assert found.models[0].usd is None


def test_a_model_that_cannot_be_run_is_a_row_and_an_exit_status(evalkit, tmp_path: Path):
    pets, _ = write_tasks(tmp_path)
    status, shown, errors = evalkit("run", "--models", "bow,infersent-glove", "--tasks", pets, "--dry-run")
    assert status == 2
    assert "cannot be run" in shown
    assert "retired" in shown
    assert errors.startswith("error: 'infersent-glove' is retired")


def faulty(tmp_path: Path) -> dict[str, list[str]]:
    """Arguments of runs that refuse before they compute anything; the last one has a cell that fails."""
    pets, pairs = write_tasks(tmp_path)
    broken, empty, file = tmp_path / "broken", tmp_path / "empty", tmp_path / "file.csv"
    shutil.copytree(pets, broken)
    with (broken / "qrels" / "test.tsv").open("a") as qrels:
        qrels.write("q1\tno-such-document\t1\n")
    empty.mkdir()
    file.write_text("a\n")
    on_pets = ["--tasks", pets, "--models"]
    return {
        "unknown model": [*on_pets, "tfidff"],
        "unknown family": [*on_pets, "brt:x"],
        "unknown option": [*on_pets, "bow?ngram=2"],
        "wrong value": [*on_pets, "bow?ngrams=0"],
        "missing folder": [*on_pets, str(tmp_path / "absent")],
        "folder without a model": [*on_pets, str(empty)],
        "retired model": [*on_pets, "infersent-glove"],
        "unknown reranker": [*on_pets, "bow", "--rerankers", "nonesuch"],
        "reranker under models": [*on_pets, "ms-marco-MiniLM-L6"],
        "retriever that reranks nothing": ["--tasks", pairs, "--models", "bm25"],
        "fusion of one": [*on_pets, "rrf(bow)"],
        "rescore below the depth": [*on_pets, "bow,all-MiniLM-L6-v2?precision=int8&rescore=2", "--top-k", "5"],
        "no key": [*on_pets, "openai-3-small"],
        "unknown task": ["--models", "bow", "--tasks", "no-such-task"],
        "unknown split": ["--models", "bow", "--tasks", f"{pets}?split=nine"],
        "bad data": ["--models", "bow", "--tasks", str(broken)],
        "no task": ["--models", "bow", "--tasks", str(empty)],
        "one task twice": ["--models", "bow", "--tasks", f"{pets},{pets}/"],
        "model and task": ["--models", "tfidff", "--tasks", str(broken)],
        "device": [*on_pets, "bow", "--device", "mps"],
        "dtype": [*on_pets, "bow", "--dtype", "float64"],
        "too few candidates": [*on_pets, "bow", "--candidates", "1", "--top-k", "5"],
        "published": [*on_pets, "bow", "--published", str(file)],
        "published, absent": [*on_pets, "bow", "--published", str(tmp_path / "absent.csv")],
        "store": [*on_pets, "bow", "--store", str(file / "store")],
        "store without a bucket": [*on_pets, "bow", "--store", "s3://"],
        "unknown task of mteb": ["--models", "bow", "--tasks", "mteb:NoSuchTask"],
        "failing cell": [*on_pets, "sbert:./no-such-folder"],
        "no word vectors": [*on_pets, "glove:no-such-folder"],
    }


CASES = [
    "unknown model", "unknown family", "unknown option", "wrong value", "missing folder", "folder without a model",
    "retired model", "unknown reranker", "reranker under models", "retriever that reranks nothing", "fusion of one",
    "rescore below the depth", "no key", "unknown task", "unknown split", "bad data", "no task", "one task twice",
    "model and task", "device", "dtype", "too few candidates", "published", "published, absent", "store",
    "store without a bucket", "unknown task of mteb", "failing cell", "no word vectors",
]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_dry_run_refuses_what_the_run_refuses(case: str, evalkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the same message, and the same exit status; a cell that will fail has its reason in both."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    cases = faulty(tmp_path)
    assert list(cases) == CASES
    arguments = ["run", *cases[case], "--out", tmp_path / "out"]
    status, shown, errors = evalkit(*arguments)
    dry_status, dry_shown, dry_errors = evalkit(*arguments, "--dry-run")
    assert dry_status == status
    if case in ("failing cell", "no word vectors"):
        reason = re.compile(r"no (file|folder|file or folder) '(\./)?no-such-folder'")
        assert status == 1
        assert reason.search(" ".join(shown.split()))
        assert reason.search(" ".join(dry_shown.split()))
    else:
        assert (status, dry_errors) == (2, errors)
        assert errors.startswith("error: ")


def test_a_dry_run_prints_the_plan_and_writes_nothing(evalkit, tmp_path: Path):
    pets, _ = write_tasks(tmp_path)
    out = tmp_path / "out"
    status, shown, errors = evalkit("run", "--models", "bow", "--tasks", pets, "--out", out, "--dry-run")
    assert (status, errors) == (0, "")
    assert "Cells: 1. At most 6 texts to encode and 0 pairs to rerank." in shown
    assert not out.exists()
    status, _, errors = evalkit("run", "--models", "bow", "--tasks", "no-such-task", "--dry-run")
    assert status == 2
    assert "Unknown task 'no-such-task'" in errors


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 91\n"
NO_TENSORS = "\x02" + 7 * "\0" + "{}"
"""A file of safetensors with nothing in it."""
POOLED = '[{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]'
BROKEN = {
    "settings cut off": ("sbert:{folder}", {"tokenizer.json": '{"model": '}, "tokenizer.json cannot be read"),
    "settings cut off, for bert": (
        "bert:{folder}",
        {"tokenizer.json": '{"model": '},
        "tokenizer.json cannot be read",
    ),
    "pointer": ("maxsim:{folder}", {"tokenizer.json": POINTER}, "tokenizer.json is a Git LFS pointer"),
    "pointer, for static": ("static:{folder}", {"model.safetensors": POINTER}, "safetensors is a Git LFS pointer"),
    "pointer, for word vectors": ("glove:{folder}/v.txt", {"v.txt": POINTER}, "v.txt is a Git LFS pointer"),
    "pickled": ("sbert:{folder}", {"pytorch_model.bin": "x"}, "pytorch_model.bin is pickled"),
    "no module": (
        "sbert:{folder}",
        {"modules.json": POOLED, "model.safetensors": NO_TENSORS},
        "names the module '1_Pooling'",
    ),
    "no sparse encoder": ("splade:{folder}", {"model.safetensors": NO_TENSORS}, "is no sparse encoder"),
    "no head": (
        "ce:{folder}",
        {"model.safetensors": NO_TENSORS},
        "is a BertModel, and what a cross-encoder scores by is missing from the files",
    ),
    "no folder of a tokenizer": ("bm25?tokenizer=./no-such-folder", {}, "no folder './no-such-folder'"),
    "folder without a tokenizer": ("bow?tokenizer={folder}", {}, "has no tokenizer.json"),
    "file that is no tokenizer": ("tfidf?tokenizer={folder}/t.json", {"t.json": '{"a": 1}'}, "is no tokenizer that"),
    "tokenizer cut off": (
        "bm25?tokenizer={folder}",
        {"tokenizer.json": '{"model": '},
        "tokenizer.json cannot be read",
    ),
}
"""Specs of models that their files show to be none, the files beside settings of an encoder, and what is said."""


@pytest.mark.parametrize("case", BROKEN)
def test_what_the_files_tell_of_a_model_is_said_by_a_dry_run_and_by_the_run(case: str, tmp_path: Path):
    spec, files, said = BROKEN[case]
    folder = tmp_path / "model"
    folder.mkdir()
    for name, content in ({"config.json": '{"architectures": ["BertModel"], "model_type": "bert"}'} | files).items():
        (folder / name).write_text(content)
    pets, _ = write_tasks(tmp_path)
    spec = spec.format(folder=folder)
    chosen_as = {"models": "bow", "rerankers": spec} if spec.startswith("ce:") else {"models": spec}
    reasons = {failure["reason"] for failure in pipeline.run(**chosen_as, tasks=pets, no_store=True).failures}
    assert said in next(iter(reasons))
    problems = {model.problem for model in plan(**chosen_as, tasks=pets).models if model.label == spec}
    assert problems == reasons


@pytest.mark.parametrize("family", ["sbert", "bert"])
def test_a_folder_without_weights_is_refused_by_a_dry_run_and_by_the_run(family: str, tmp_path: Path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["BertModel"], "model_type": "bert"}')
    pets, _ = write_tasks(tmp_path)
    (failure,) = pipeline.run(models=f"{family}:{folder}", tasks=pets, no_store=True).failures
    (model,) = plan(models=f"{family}:{folder}", tasks=pets).models
    assert model.problem == failure["reason"]
    assert model.problem == (
        f"{folder} has the settings of a model, and no weights (model.safetensors). Download or copy it again."
    )


@pytest.mark.usefixtures("nothing_happens")
def test_a_tokenizer_is_looked_for_as_a_model_is(data_dir: Path):
    there, elsewhere = plan(
        models=[f"bm25?tokenizer={data_dir / 'potion-base-4m-int8'}", "bm25?tokenizer=nobody/knows"], tasks="rag-mini"
    ).models
    assert (there.weights, there.problem) == ("none", "")
    assert (elsewhere.weights, elsewhere.checkpoint, elsewhere.megabytes) == ("to download", "nobody/knows", None)


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.usefixtures("nothing_happens")
def test_a_ready_suite_says_what_it_downloads_and_how_large_that_is(suite: str, evalkit):
    keys = read_suite(suite)
    found = plan(**keys)
    assert {task.where for task in found.tasks} <= {"at hand", "as the suite declares"}
    assert all(task.kind for task in found.tasks)
    assert found.cells > 0
    assert set(keys.get("sizes", {})) <= {*keys["models"], *keys["tasks"]}
    waiting = {model.checkpoint: model.megabytes for model in found.models if model.weights == "to download"}
    assert all(waiting.values())
    total = sum(waiting.values()) + sum(model.megabytes for model in found.models if model.weights == "at hand")
    said = float(re.search(r"Downloads about ([\d.]+) GB", " ".join(keys["description"].split()))[1])
    assert total / 1000 == pytest.approx(said, abs=0.15)
    status, shown, _ = evalkit("run", suite, "--dry-run")
    assert status == (2 if pipeline.refusal(read_config(keys)) else 0)
    assert status or not any(model.problem for model in found.models)
    assert "Downloads about" in " ".join(shown.split())


def test_ready_suites_name_only_models_that_can_be_built_or_are_behind_an_api():
    for suite in SUITES:
        keys = read_suite(suite)
        for name in (*keys["models"], *keys.get("rerankers", ())):
            entry = catalogue().get(name)
            if name != "none" and (entry is None or entry.provider is None):
                assert resolve(name).family in families()
            elif entry is not None:
                assert not entry.retired


def test_ready_suites_are_where_the_wheel_takes_them_from():
    folder = bundled_tasks() / "suites"
    assert {path.stem for path in folder.glob("*.yaml")} >= set(SUITES)
    for suite in SUITES:
        published = yaml.safe_load((folder / f"{suite}.yaml").read_text(encoding="utf-8")).get("published")
        assert published is None or (folder / published).is_file()
