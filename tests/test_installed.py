"""The name of the distribution, its version, and the line that installs what an extra needs."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import evalkit
from evalkit import installed
from evalkit.installed import DISTRIBUTION, install_line, requirements
from evalkit.models.registry import catalogue, families

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TORCH = "pip install 'sentence-transformers<7,>=6.2' 'torch>=2.6' 'transformers<6,>=5.4'"


def metadata():
    """What a built distribution says that it requires (core metadata, Requires-Dist)."""
    lines = [f"{each}; extra == '{extra}'" for extra, needed in EXTRAS.items() for each in needed]
    return [*PROJECT["dependencies"], *lines, 'tomli; python_version < "3"']


def absent(name):
    raise PackageNotFoundError(name)


@pytest.fixture(params=["installed", "source tree"])
def _way(request, monkeypatch):
    """Ways to have evalkit; in both the names of the libraries are known."""
    monkeypatch.setattr(installed, "requires", absent if request.param == "source tree" else lambda name: metadata())
    requirements.cache_clear()
    yield
    requirements.cache_clear()


def expanded(extra):
    """Names in pyproject.toml, with those of the extras that an extra names."""
    names = set()
    for each in map(Requirement, EXTRAS[extra]):
        names |= set().union(*map(expanded, each.extras)) if each.name == DISTRIBUTION else {each.name}
    return names


@pytest.mark.usefixtures("_way")
@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_told_as_its_libraries(extra):
    assert {each.name for each in requirements(extra)} == expanded(extra)
    line = install_line(extra, "no_module")
    assert line.startswith("pip install ")
    assert "evalkit" not in line


@pytest.mark.usefixtures("_way")
def test_ranges_are_told_too():
    assert install_line("torch", "torch") == TORCH
    assert "'pypdf[crypto]>=6.1'" in install_line("pick", "pypdf")


@pytest.mark.usefixtures("_way")
def test_of_an_extra_that_is_not_known_the_module_is_told():
    assert install_line("nonesuch", "some_module") == "pip install some-module"


def test_every_extra_that_a_family_names_is_there():
    assert {family.extra for family in families().values() if family.extra} <= EXTRAS.keys()


def test_weights_in_packages_are_those_of_the_demo():
    packages = [entry.package.requirement for entry in catalogue().values() if entry.package]
    assert packages
    assert set(packages) <= set(EXTRAS["demo"])


def test_one_name_and_one_version_everywhere():
    assert PROJECT["name"] == DISTRIBUTION
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == evalkit.__version__
    own = {each.name for needed in EXTRAS.values() for each in map(Requirement, needed) if "evalkit" in each.name}
    assert own == {DISTRIBUTION}


def test_nothing_says_to_install_what_is_somebody_elses():
    """`evalkit` on PyPI is another project, so no page and no message may install that name."""
    kinds = ("*.md", "*.py", "*.yml", "*.yaml", "*.toml", "Makefile")
    for folder in ("evalkit", "docs", "examples", "tasks", "benchmarks", "."):
        for path in (
            each
            for kind in kinds
            for each in ((ROOT / folder).glob(kind) if folder == "." else (ROOT / folder).rglob(kind))
        ):
            said = re.search(r"install[^\n]*['\"\s]evalkit(\[|['\"`\s.]|$)", path.read_text(encoding="utf-8"), re.M)
            assert said is None, f"{path}: {said[0]}"
