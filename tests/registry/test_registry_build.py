"""Building a model from its spec, and families that other packages add."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from evalkit.compute import Compute
from evalkit.contracts import Embedder, Reranker, Retriever
from evalkit.errors import ConfigError, OptionalDependencyError
from evalkit.installed import install_line
from evalkit.models.registry import build, families, parse_spec
from evalkit.models.registry import build as build_function

PLUGIN = """
import numpy as np
from evalkit.models.registry import Family
from evalkit.models.registry.options import Options

class Settings(Options):
    dim: int = 2

class Letters:
    similarity = "cosine"

    def __init__(self, name, options, compute):
        self.letter, self.dim, self.identity = name, options.dim, {"family": "letters", "name": name}

    def encode(self, texts, role, advance=None):
        return np.array([[text.count(self.letter)] * self.dim for text in texts], dtype=np.float32)

LETTERS = Family(
    "letters", frozenset({"embedder"}), Settings, Letters, "counts of a letter", name_help="letter"
)
TAKEN = Family("bert", frozenset({"embedder"}), Settings, Letters, "a name that is taken")
NOT_A_FAMILY = 7
"""

Install = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path) -> Install:
    """Install a package whose entry point is the given name in the module above; returns its folder."""

    def installed(attribute: str) -> Path:
        info = tmp_path / "evalkit_letters-1.0.dist-info"
        info.mkdir()
        (tmp_path / "evalkit_letters.py").write_text(PLUGIN)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evalkit-letters\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[evalkit.models]\nletters = evalkit_letters:{attribute}\n")
        return tmp_path

    return installed


@pytest.fixture
def fresh_families() -> Iterator[None]:
    families.cache_clear()
    yield
    families.cache_clear()
    sys.modules.pop("evalkit_letters", None)


@pytest.mark.parametrize(
    ("text", "protocol"), [("bow", Embedder), ("tfidf", Embedder), ("bm25", Retriever), ("bm25", Reranker)]
)
def test_built_models_keep_the_contract_of_their_kind(text: str, protocol: type):
    assert isinstance(build(parse_spec(text), Compute()), protocol)


@pytest.mark.parametrize(
    ("text", "module", "extra"),
    [
        ("bert:a", "transformers", "torch"),
        ("ce:a", "sentence_transformers", "torch"),
        ("maxsim:a", "sentence_transformers", "torch"),
        ("splade:a", "sentence_transformers", "torch"),
        ("sbert:a", "sentence_transformers", "torch"),
        ("static:a", "model2vec", "words"),
        ("mteb:a", "mteb", "mteb"),
        ("glove:a", "gensim", "words"),
        ("word2vec:train", "gensim", "words"),
        ("fasttext:train", "gensim", "words"),
        ("cove:a", "torch", "recurrent"),
        ("elmo:a", "torch", "recurrent"),
    ],
)
def test_a_missing_package_is_named_with_its_install_line(
    text: str, module: str, extra: str, monkeypatch: pytest.MonkeyPatch
):
    asked: list[str] = []
    monkeypatch.setattr(sys.modules[build_function.__module__], "find_spec", asked.append)
    message = (
        f"the family {text.partition(':')[0]!r} needs the package {module!r}. "
        f"Install it: {install_line(extra, module)}"
    )
    with pytest.raises(OptionalDependencyError, match=f"^{re.escape(message)}$"):
        build(parse_spec(text), Compute())
    assert asked == [module]


@pytest.mark.parametrize(("text", "module"), [("cove:a", "gensim"), ("elmo:a", "h5py")])
def test_every_package_that_a_family_needs_is_looked_for(text: str, module: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        sys.modules[build_function.__module__], "find_spec", lambda name: None if name == module else 1
    )
    line = "pip install 'gensim>=4.4' 'h5py>=3.11' 'safetensors>=0.4' 'torch>=2.6'"
    message = f"the family {text[:4]!r} needs the package {module!r}. Install it: {line}"
    with pytest.raises(OptionalDependencyError, match=f"^{re.escape(message)}$"):
        build(parse_spec(text), Compute())


def test_an_installed_package_adds_a_family(install: Install):
    code = (
        "from evalkit.cli import app\n"
        "from evalkit.compute import Compute\n"
        "from evalkit.models.registry import build, resolve\n"
        "print(build(resolve('letters:a?dim=3'), Compute()).encode(['banana', 'kiwi'], 'sentence').tolist())\n"
        "app(['models'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(install("LETTERS")), "COLUMNS": "240"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    vectors, *listing = done.stdout.splitlines()
    assert vectors == str(np.array([[3.0] * 3, [0.0] * 3]).tolist())
    row = next(line for line in listing if "letters:NAME" in line)
    assert re.search(r"embedder.*counts of a letter; NAME is a letter.*dim", row)


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        (
            "NOT_A_FAMILY",
            "entry point 'letters' in group 'evalkit.models' gave a int, not an "
            "evalkit.models.registry.families.Family; fix or uninstall that package.",
        ),
        (
            "TAKEN",
            "entry point 'letters' adds a family 'bert', which exists already; rename it or uninstall that package.",
        ),
    ],
)
@pytest.mark.usefixtures("fresh_families")
def test_a_faulty_entry_point_is_named(
    attribute: str, message: str, install: Install, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(install(attribute))
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
        families()
