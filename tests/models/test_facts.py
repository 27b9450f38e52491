"""What is known of a model is looked up once, when the run is made, and a report says the same ever after."""

import json
import shutil
import sys

import numpy as np
import pytest
from fakes import FakeEmbedder, write_retrieval_task
from safetensors.numpy import load_file

import evalkit
from evalkit.models.facts import look_up
from evalkit.models.registry import catalogue, families
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose
from evalkit.models.weights import at_hand
from evalkit.results import Results
from evalkit.results.facts import ModelFacts, cell_facts, model_facts

MINILM = "sbert:sentence-transformers/all-MiniLM-L6-v2"
KINDS = {"embedder", "retriever", "reranker"}


def facts_of(name):
    return look_up(next(iter(choose([name], KINDS).values())))


def test_a_checkpoint_on_the_disk():
    found = facts_of(MINILM)
    folder = at_hand("sentence-transformers/all-MiniLM-L6-v2")
    counted = sum(array.size for array in load_file(folder / "model.safetensors").values())
    assert (found.family, found.licence, found.dim, found.max_length) == ("sbert", "Apache-2.0", 384, 256)
    assert found.parameters == pytest.approx(counted / 1e6, rel=0.01), "the catalogue rounds"
    assert found.size == pytest.approx(sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6, rel=0.1)
    assert (found.price, found.price_note) == (0.0, "local: no price")
    assert facts_of(f"{MINILM}?dim=64&max_length=32").dim == 64
    assert facts_of(f"{MINILM}?dim=64&max_length=32").max_length == 32
    assert facts_of("maxsim:sentence-transformers/all-MiniLM-L6-v2").dim is None


def test_a_folder_of_ones_own_is_read_from_its_files(tmp_path):
    folder = tmp_path / "own"
    shutil.copytree(at_hand("sentence-transformers/all-MiniLM-L6-v2"), folder)
    counted = sum(array.size for array in load_file(folder / "model.safetensors").values())
    (folder / "README.md").write_text("---\nlicense: cc-by-4.0\nlanguage: [de, en]\n---\n# Mine\n")
    found = facts_of(f"sbert:{folder}")
    assert (found.licence, found.languages, found.parameters) == ("cc-by-4.0", ("de", "en"), counted / 1e6)
    for card in ("# No data\n", "---\nlicense: [\n---\n", "---\n- a list\n---\n", "---\nlanguage: en\n---\n"):
        (folder / "README.md").write_text(card)
        assert facts_of(f"sbert:{folder}").licence is None
    assert facts_of(f"sbert:{folder}").languages == ("en",)
    (folder / "README.md").unlink()
    assert facts_of(f"sbert:{folder}").languages == ()


@pytest.mark.parametrize("name", sorted(name for name, family in families().items() if family.learns))
def test_what_learns_here_has_no_weights(name):
    found = facts_of(name)
    assert (found.licence, found.parameters, found.size, found.price) == ("no weights", 0.0, 0.0, 0.0)


def test_word_vectors(tmp_path):
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("a 1 2\nb 3 4\n")
    found = facts_of(f"glove:{vectors}")
    assert (found.family, found.size, found.licence) == ("glove", 16e-6, None) or found.size == 0.0
    trained = facts_of("word2vec:train?size=50")
    assert (trained.licence, trained.parameters) == ("no weights", 0.0)


def test_each_paid_entry_of_the_catalogue_has_its_price_and_date():
    paid = [entry for entry in catalogue().values() if entry.price and entry.spec and not entry.retired]
    assert len(paid) > 5
    for entry in paid:
        found = facts_of(entry.name)
        asked = (found.price, found.price_unit, found.price_as_of)
        assert asked == (entry.price.usd, entry.price.per, entry.price.as_of), entry.name
        assert f"{entry.price.usd:g} USD per {entry.price.per} ({entry.price.as_of})" == found.price_note
    assert facts_of("cohere-rerank:rerank-v3.5?price=2").price_unit == "thousand searches"
    assert facts_of("openai:text-embedding-3-small?price=2").usd_per_million_tokens == 2
    assert facts_of("openai-compatible:x?api_base=http://localhost:1/v1").price == 0, "a server of one's own"


def test_an_object_has_no_facts_but_its_name():
    model = FakeEmbedder({"a": (1, 0)})
    found = look_up(choose([ModelRef.from_object("mine", model)], KINDS)["mine"])
    assert found == ModelFacts("object of fakes.FakeEmbedder")


def test_models_of_a_cell_together():
    small = ModelFacts("sbert", "w", licence="MIT", dim=2, max_length=9, parameters=3.0, size=12.0, price=0.0)
    paid = ModelFacts("jina", "j", parameters=None, price=0.5, price_unit="million tokens", licence="CC")
    provenance = {
        "models": {"s": small.as_data, "p": paid.as_data, "again": {**small.as_data, "family": "maxsim"}},
        "fusions": {"rrf(s,p)": ["s", "p"]},
    }
    assert cell_facts("s", "none", provenance) == small
    assert cell_facts("s", "again", provenance).parameters == 3.0, "the same weights count once"
    both = cell_facts("s", "p", provenance)
    assert (both.family, both.dim, both.licence, both.price, both.parameters) == ("sbert", 2, "MIT + CC", 0.5, None)
    fused = model_facts("rrf(s,p)", provenance)
    assert (fused.family, fused.dim, fused.max_length, fused.price) == ("rrf", 2, 9, 0.5)
    assert model_facts("gone", provenance) == ModelFacts("not known")


WORDS = ["red", "orange", "yellow", "green", "blue", "indigo", "violet", "brown", "black", "white", "grey", "pink"]


def test_a_report_says_what_was_known_when_the_run_was_made(tmp_path, monkeypatch):
    """The catalogue changes its mind, and the weights go: the run's facts stay."""
    folder = tmp_path / "own"
    shutil.copytree(at_hand("sentence-transformers/all-MiniLM-L6-v2"), folder)
    models = ["bm25", "lsa?components=7", f"sbert:{folder}"]
    corpus = {f"d{row}": f"{word} is number {row} of them" for row, word in enumerate(WORDS)}
    queries = {f"q{row}": f"which number is {word}" for row, word in enumerate(WORDS)}
    qrels = {f"q{row}": {f"d{row}": 1} for row in range(len(WORDS))}
    task = write_retrieval_task(tmp_path / "task", corpus, queries, qrels)
    run = evalkit.run(models=models, tasks=task, device="cpu", out=tmp_path / "run", no_store=True)
    facts = run.provenance["models"]
    assert [facts[label]["dim"] for label in run.provenance["specs"]] == [None, 7, 384]
    assert facts[f"sbert:{folder}"]["max_length"] == 256
    from evalkit.reporting.html.units import make_units

    before = [unit.data()["cells"] for unit in make_units(run)]
    shutil.rmtree(folder)
    for name, module in list(sys.modules.items()):
        if name.startswith("evalkit.") and hasattr(module, "catalogue") and callable(module.catalogue):
            monkeypatch.setattr(module, "catalogue", lambda: pytest.fail("a report asks the catalogue"))
    read = Results.read(tmp_path / "run")
    assert json.dumps([unit.data()["cells"] for unit in make_units(read)]) == json.dumps(before)
    assert np.isfinite(before[0]["parameters"][1:]).all()
