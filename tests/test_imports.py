"""Who may import whom (DESIGN.md), and what starts without heavy packages."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit

PACKAGE = Path(evalkit.__file__).parent
BASE = {"terms", "types", "errors", "installed", "contracts", "cell", "plugins"}
PARTS = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
MODELS = {"torch", "transformers", "sentence_transformers", "mteb", "llama_index", "gensim", "model2vec"}


def imports(part):
    """Names of all modules that a module or folder of the package imports, anywhere in its code."""
    found = set()
    for file in (PACKAGE / part).rglob("*.py") if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file} has a relative import"
                found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(part):
    """The parts of evalkit that a part imports, beside itself."""
    return {name.split(".")[1] for name in imports(part) if name.startswith("evalkit.")} & PARTS - {part}


def others(part):
    """The packages that a part imports, beside evalkit and the standard library."""
    return {name.split(".")[0] for name in imports(part)} - set(sys.stdlib_module_names) - {"evalkit"}


@pytest.mark.parametrize("part", sorted(BASE))
def test_the_base_imports_only_the_base(part):
    assert own(part) <= BASE
    assert others(part) <= {"numpy", "scipy", "packaging"}


@pytest.mark.parametrize("part", ["metrics", "stats"])
def test_numbers_need_only_the_base_and_numeric_packages(part):
    assert own(part) <= BASE
    assert others(part) <= {"numpy", "scipy", "ir_measures"}


@pytest.mark.parametrize(
    ("part", "never"),
    [
        ("search", {"models", "registry", "suite", "grid", "results", "report"}),
        ("grid", {"models", "results", "report"}),
        ("store", {"models", "registry", "suite", "grid", "results", "report"}),
        ("suite", {"models", "registry", "grid", "results", "report"}),
        ("registry", {"suite", "grid", "results", "report"}),
        (
            "results",
            {
                "models",
                "registry",
                "report",
                "measure",
                "grid",
                "runner",
                "store",
                "engine",
                "config",
                "compute",
                "progress",
                "spending",
                "pipeline",
            },
        ),
        ("runner", {"models", "report", "measure", "pipeline", "cli"}),
        ("measure", {"report", "pipeline", "cli"}),
        ("decision", {"models", "registry", "measure", "report", "pipeline", "picking", "cli"}),
        ("report", {"models", "measure"}),
        ("mteb", {"models", "registry", "report", "pipeline", "cli"}),
    ],
)
def test_never(part, never):
    assert not own(part) & never


def test_only_the_top_composes():
    assert {part for part in map(_name, PACKAGE.iterdir()) if part and "pipeline" in own(part)} <= {
        "__init__", "cli", "commands", "picking", "budget", "gating", "pytest_plugin",
    }  # fmt: skip
    picks = {part for part in map(_name, PACKAGE.iterdir()) if part and "picking" in own(part)}
    assert picks <= {"__init__", "commands"}
    assert "pipeline" in own("commands"), "the test reads imports inside functions"


def _name(path):
    return path.stem if path.suffix == ".py" else path.name if (path / "__init__.py").exists() else ""


def loaded(code):
    """The modules in memory after `code` in a fresh process, which must not fail."""
    report = "\nimport json, sys\nprint('\\0' + json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True, timeout=120
    )
    return set(json.loads(done.stdout.rpartition("\0")[2]))


def command(*arguments):
    return (
        f"import sys\nsys.argv = {['evalkit', *arguments]!r}\nfrom evalkit.cli import app\napp(standalone_mode=False)"
    )


@pytest.mark.parametrize(
    "code", ["import evalkit", command("--help"), command("run", "--help")], ids=["import", "help", "run"]
)
def test_starts_without_anything_heavy(code):
    heavy = MODELS | {"numpy", "scipy", "sklearn", "pandas", "pyarrow", "bm25s", "lance", "yaml"}
    assert loaded(code) & heavy == set()


def test_results_are_read_without_what_made_them():
    there = loaded("from evalkit.results import Results")
    assert there & (MODELS | {"lance", "bm25s", "sklearn", "ray"}) == set()
    runs = {"evalkit.grid", "evalkit.runner", "evalkit.store", "evalkit.pipeline", "evalkit.models"}
    assert not {name for name in there if name in runs or name.rpartition(".")[0] in runs}


@pytest.mark.parametrize(
    "code",
    [
        command("models"),
        "import evalkit; evalkit.run(models='bm25', tasks='rag-mini', device='cpu', max_queries=2)",
    ],
    ids=["models", "a run of bm25"],
)
def test_does_without_models_that_are_not_used(code):
    assert loaded(code) & (MODELS | {"sklearn", "scipy.stats"}) == set()
