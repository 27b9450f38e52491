"""Who may import whom (DESIGN.md), and what starts without heavy packages."""

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import evalkit

PACKAGE = Path(evalkit.__file__).parent
ROOT = PACKAGE.parent
BASE = {
    "terms", "types", "errors", "installed", "contracts", "cell", "plugins", "secrets", "compute", "spending",
    "progress", "token_counts", "tokenization",
}  # fmt: skip
"""Modules that stand below all packages."""
LAYERS = (
    "engine", "metrics", "stats", "search", "store", "tasks", "results", "models", "reporting", "runner",
    "curves", "integrations", "picking", "gating", "cli",
)  # fmt: skip
"""The packages, lowest first: none imports one above it."""
FACADES = {("results", "reporting")}
"""What people call on an object of a lower package: `Results` shows itself in a notebook."""
PARTS = {path.stem if path.is_file() else path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
MODELS = {"torch", "transformers", "sentence_transformers", "mteb", "llama_index", "gensim", "model2vec"}


def names_in(file):
    """Names of all modules that a module imports, anywhere in its code, and of what it imports from them."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def imports(part):
    """Names of all modules that a module or folder of the package imports."""
    files = (PACKAGE / part).rglob("*.py") if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]
    return set().union(*map(names_in, files))


def own(part):
    """The parts of evalkit that a part imports, beside itself."""
    return {name.split(".")[1] for name in imports(part) if name.startswith("evalkit.")} & PARTS - {part}


def others(part):
    """The packages that a part imports, beside evalkit and the standard library."""
    return {name.split(".")[0] for name in imports(part)} - set(sys.stdlib_module_names) - {"evalkit"}


@pytest.mark.parametrize("part", sorted(BASE))
def test_the_base_imports_only_the_base(part):
    assert own(part) <= BASE
    assert others(part) <= {"numpy", "scipy", "packaging", "rich", "regex", "torch", "llama_index"}


def test_every_package_has_its_layer():
    assert PARTS - {"__init__", "__main__", "py"} == BASE | set(LAYERS)


@pytest.mark.parametrize("part", LAYERS)
def test_no_package_imports_one_above_it(part):
    above = {other for other in LAYERS[LAYERS.index(part) + 1 :] if (part, other) not in FACADES}
    assert not own(part) & above


@pytest.mark.parametrize("part", ["metrics", "stats"])
def test_numbers_need_only_the_base_and_numeric_packages(part):
    assert own(part) <= BASE
    assert others(part) <= {"numpy", "scipy", "ir_measures"}


@pytest.mark.parametrize(
    ("part", "never"),
    [
        ("search", {"store", "metrics", "stats"}),
        ("store", {"metrics", "stats"}),
        ("tasks", {"store", "engine"}),
        ("results", {"store", "engine", "search", "compute", "progress", "spending"}),
        ("reporting", {"models", "store", "engine"}),
    ],
)
def test_never(part, never):
    """What stands below and is still none of a package's business."""
    assert not own(part) & never


def test_no_circles_between_modules():
    """Imports at the top of modules; those inside functions are there so that starting is fast."""
    graph = {name: at_the_top(file) for name, file in MODULES.items()}
    done, path = set(), []

    def visit(name):
        assert name not in path, f"a circle: {' -> '.join([*path[path.index(name) :], name])}"
        if name in done:
            return
        path.append(name)
        for other in graph[name]:
            visit(other)
        path.pop()
        done.add(name)

    for name in graph:
        visit(name)


MODULES = {
    ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
}


def at_the_top(file):
    """The modules of evalkit that a module imports when it is imported."""
    found = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in found if name in MODULES and MODULES[name] != file}


@cache
def importers():
    """The modules that import a module, by its name."""
    found = {name: set() for name in MODULES}
    for other, file in MODULES.items():
        for name in names_in(file) & MODULES.keys():
            found[name].add(other)
    return found


NAMED = [ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
"""Where modules are named that others may import."""


@pytest.mark.parametrize("name", sorted(name for name in MODULES if name.count(".") > 1))
def test_what_only_its_own_package_imports_is_private(name):
    package, _, own_name = name.rpartition(".")
    outside = {other for other in importers()[name] if other != package and not other.startswith(f"{package}.")}
    if own_name.startswith("_"):
        assert not outside, f"a private module of {package} is imported by {outside}"
    elif not outside and MODULES[name].name != "__init__.py":
        by_name = package == "evalkit.models" and "FAMILIES" in MODULES[name].read_text(encoding="utf-8")
        named = any(name in file.read_text(encoding="utf-8") for file in NAMED)
        assert by_name or named, f"only {package} imports it: call it _{own_name}"


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
    runs = {"evalkit.runner.grid", "evalkit.runner", "evalkit.store", "evalkit.runner.run", "evalkit.models"}
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
