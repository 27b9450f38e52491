"""How much of a folder was read, and when that is said."""

import os

import pytest

from evalkit.picking.documents import Coverage, read_folder


@pytest.mark.parametrize(
    ("coverage", "warning"),
    [
        (Coverage(4, 5, 80, 100, {".png": 1}), ""),
        (Coverage(0, 0, 0, 0), ""),
        (
            Coverage(3, 4, 100, 100, {"": 1}),
            "Only 3 of 4 files (100 % of the bytes) were read: not 1 without suffix",
        ),
        (
            Coverage(9, 10, 79, 100, {".pdf": 1}),
            "Only 9 of 10 files (79 % of the bytes) were read: not 1 .pdf",
        ),
        (
            Coverage(1, 20, 1, 1000, {".a": 2, ".b": 12, ".c": 3, ".d": 1, ".e": 1}),
            "Only 1 of 20 files (less than 1 % of the bytes) was read: not 12 .b, 3 .c, 2 .a, 2 others",
        ),
    ],
)
def test_less_than_four_fifths_is_said(coverage, warning):
    assert coverage.warning == warning


def test_files_and_bytes_are_those_on_the_disk(tmp_path):
    """Counted by walking the folder in another way: hidden and empty files are not there, links are."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.md").write_text("Grüße")
    (tmp_path / "b.txt").write_text("Text.")
    (tmp_path / "in" / "c.PNG").write_bytes(b"\x89PNG\0" * 20)
    (tmp_path / "d.pdf").write_bytes(b"%PDF nothing")
    (tmp_path / "e.txt").write_text("")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "f.txt").write_text("Hidden.")
    (tmp_path / "g.txt").symlink_to(tmp_path / "b.txt")
    there = [
        path for path in tmp_path.rglob("*") if path.is_file() and ".git" not in path.parts and os.path.getsize(path)
    ]
    size = sum(path.stat().st_size for path in there if not path.is_symlink())
    assert read_folder(tmp_path).coverage == Coverage(
        2, len(there), len("Grüße".encode()) + len("Text."), size, {".png": 1, ".pdf": 1, ".txt": 1}
    )
