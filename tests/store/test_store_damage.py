"""Altered bytes are never served: reading them is an error that says what to do, and verify mends the store."""

import re
from pathlib import Path

import lance
import numpy as np
import pytest
from fakes import failures, retrieval_task, run, write_tasks
from store_models import Counting, glove_file

from evalkit.errors import StoreError
from evalkit.results import Results
from evalkit.store import Store
from evalkit.store.folder import Folder
from evalkit.store.keys import text_keys
from evalkit.store.table import Table

TASK = retrieval_task({"1": "cat", "2": "dog", "3": "hen"}, {"q1": "meow"})
NEXT_STEP = "`evalkit store verify` sets the damage aside; the next run computes it again."
FOOTER = 40
"""Bytes at a file's end that say how much metadata it has: from a huge number, lance would end the process."""


def data_file(table: Path) -> Path:
    return max((table / "data").iterdir(), key=lambda file: file.stat().st_size)


def flip(file: Path, position: int) -> None:
    content = bytearray(file.read_bytes())
    content[position] ^= 0xFF
    file.write_bytes(content)


def flip_in(table: Path, needle: bytes) -> None:
    file = next(file for file in (table / "data").iterdir() if needle in file.read_bytes())
    flip(file, file.read_bytes().index(needle) + 1)


@pytest.fixture
def filled(store) -> Path:
    """The table of the model's vectors for the task."""
    run([TASK], {"m": Counting()}, store=store)
    return Path(str(next(store.ls()).folder))


@pytest.mark.parametrize("what", ["value", "checksum", "key"])
def test_an_altered_row_is_not_served_and_verify_removes_it(store, filled, what):
    table = Table(Folder(str(filled)), {})
    key = text_keys(["dog"], "")
    row = table.find(key)
    stored = table._dataset.take(row)
    needle = {
        "value": table.take(row).tobytes(),
        "checksum": stored["checksum"].to_numpy().tobytes(),
        "key": key[0].as_py(),
    }[what]
    flip_in(filled, needle)

    models = {"m": Counting()}
    if what == "key":  # it is the row of no text now
        assert Table(Folder(str(filled)), {}).find(key) == [-1]
    else:
        message = f"the store's table {filled} is damaged: 1 of 3 rows read were altered. {NEXT_STEP}"
        assert failures(run([TASK], models, store=store)) == {("pets", "m", "none"): message}
    assert [found for _, found in store.verify()] == ["1 of 4 rows were altered and are removed"]
    assert [found for _, found in store.verify()] == ["sound"]
    assert [(info.model, info.rows) for info in store.ls()] == [("m", 3)]
    outcome = run([TASK], models, store=store)
    assert models["m"].read == ["dog"]
    np.testing.assert_array_equal(
        *(next(iter(each.rankings.values())).scores for each in (outcome, run([TASK], {"m": Counting()})))
    )


def cut_short(path: Path) -> None:
    with data_file(path).open("r+b") as file:
        file.truncate(data_file(path).stat().st_size // 2)


def without_versions(path: Path) -> None:
    for file in (path / "_versions").iterdir():
        file.unlink()


def other_manifest(path: Path) -> None:
    for file in (path / "_versions").glob("*.manifest"):
        file.write_bytes(b"x" * 1000)


@pytest.mark.parametrize(
    "damage", [cut_short, lambda path: data_file(path).unlink(), without_versions, other_manifest],
    ids=["cut short", "no data", "no versions", "other manifest"],
)  # fmt: skip
def test_an_unreadable_table_is_an_error_and_verify_sets_it_aside(store, filled, damage):
    damage(filled)
    model = Counting()
    start = f"the store's table {filled} is damaged: "
    outcome = run([TASK], {"m": model, "other": Counting(weights="other")}, store=store)
    assert [cell.model for cell in outcome.rankings] == ["other"]
    (reason,) = failures(outcome).values()
    assert re.fullmatch(f"{re.escape(start)}.+{re.escape(NEXT_STEP)}", reason)
    aside = filled.with_suffix(".damaged")
    told = {Path(str(info.folder)): found for info, found in store.verify()}
    assert told.pop(filled) == f"could not be read and is set aside as {aside.name}"
    assert list(told.values()) == ["sound"]
    assert aside.is_dir()
    assert [info.model for info in store.ls()] == ["other"]
    run([TASK], {"m": model}, store=store)
    assert sorted(model.read) == ["cat", "dog", "hen", "meow"]


@pytest.mark.parametrize("part", ["data", "_versions"])
def test_no_flipped_byte_changes_what_is_served(store, filled, part):
    """Wherever it is, vectors come unaltered, or are missing, or it is a StoreError; lance panics at some of them."""
    keys = text_keys(["cat", "dog", "hen"], "")
    expected = Table(Folder(str(filled)), {}).take(Table(Folder(str(filled)), {}).find(keys))
    newest = min((filled / "_versions").glob("*.manifest"))  # their numbers count down
    file = data_file(filled) if part == "data" else newest
    content = file.read_bytes()
    refused = 0
    everywhere = range(2, len(content) - FOOTER, max(1, len(content) // 60))
    for position in (*everywhere, *range(len(content) - FOOTER, len(content))):
        flip(file, position)
        try:
            table = Table(Folder(str(filled)), {})
            rows = table.find(keys)
            there = rows >= 0
            if there.any():
                np.testing.assert_array_equal(table.take(rows[there]), expected[there])
            refused += (~there).any()
        except StoreError:
            refused += 1
        list(store.ls())  # never fails
        file.write_bytes(content)
    assert refused > 5, "hardly a flip was seen: the test shows nothing"


def half_a_data_file(path: Path) -> None:
    """As a process leaves it that is killed before it has committed."""
    half = data_file(path).read_bytes()
    (path / "data" / "0123456789abcdef.lance").write_bytes(half[: len(half) // 2])


def half_a_manifest(path: Path) -> None:
    newest = min((path / "_versions").glob("*.manifest"))
    content = newest.read_bytes()
    (path / "_versions" / f"{int(newest.stem) - 1}.manifest").write_bytes(content[: len(content) // 2])


def test_rows_that_were_never_committed_are_not_served_and_do_no_harm(store, filled):
    half_a_data_file(filled)
    again = Counting()
    assert not failures(run([TASK], {"m": again}, store=store))
    assert again.read == []
    assert [found for _, found in store.verify()] == ["sound"]


def test_half_a_manifest_is_named_and_set_aside(store, filled):
    half_a_manifest(filled)
    (reason,) = failures(run([TASK], {"m": Counting()}, store=store)).values()
    assert reason.startswith(f"the store's table {filled} is damaged: ")
    assert [found for _, found in store.verify()] == [
        f"could not be read and is set aside as {filled.with_suffix('.damaged').name}"
    ]
    again = Counting()
    assert not failures(run([TASK], {"m": again}, store=store))
    assert len(again.read) == 4


def test_columns_of_another_version_are_named_and_set_aside(store, filled):
    table = lance.dataset(str(filled)).to_table(columns=["key", "value"])
    lance.write_dataset(table, str(filled), mode="overwrite")
    (reason,) = failures(run([TASK], {"m": Counting()}, store=store)).values()
    assert "its columns are not those that this version of evalkit writes" in reason
    assert [found.split(" as ")[0] for _, found in store.verify()] == ["could not be read and is set aside"]


def test_a_store_of_another_version_is_named_and_nothing_is_served_from_it(store, filled, evalkit):
    filled.parents[1].rename(f"{store.root}/v0")
    again = Counting()
    run([TASK], {"m": again}, store=Store(store.root))
    assert len(again.read) == 4
    _, shown, _ = evalkit("store", "verify", "--store", store.root)
    assert f"{store.root / 'v0'} is of another version of evalkit and is not read." in shown
    assert list(Path(str(store.root), "v0").rglob("*.lance"))


def test_the_command_line_names_the_damage_and_mends_it(evalkit, tmp_path, encoded):
    pets, _ = write_tasks(tmp_path)
    kept = ["--store", tmp_path / "store"]
    arguments = ["run", "--models", glove_file(tmp_path, 16), "--tasks", pets, "--device", "cpu", *kept]
    assert evalkit(*arguments, "--out", tmp_path / "first")[0] == 0
    info = next(Store(tmp_path / "store").ls())
    table = Table(info.folder, {})
    flip_in(Path(str(info.folder)), table.take(table.find(text_keys(["fish swim"], ""))).tobytes())

    assert evalkit(*arguments, "--out", tmp_path / "damaged")[0] == 1
    (failure,) = Results.read(tmp_path / "damaged").failures
    assert failure["reason"] == (
        f"the store's table {info.folder} is damaged: 1 of 3 rows read were altered. {NEXT_STEP}"
    )
    name = f"vectors of {info.model} ({info.folder.name[:12]}…)"
    assert evalkit("store", "verify", *kept) == (1, f"{name}: 1 of 6 rows were altered and are removed\n", "")
    assert evalkit("store", "verify", *kept) == (0, f"{name}: sound\n", "")

    encoded.clear()
    assert evalkit(*arguments, "--out", tmp_path / "mended")[0] == 0
    assert encoded == ["fish swim"]
    assert (tmp_path / "mended" / "scores.csv").read_bytes() == (tmp_path / "first" / "scores.csv").read_bytes()
