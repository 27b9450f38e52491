"""What is read of a folder, and what is said about the rest."""

import os
import warnings

import pytest
from files import docx, pdf
from llama_index.core import Document
from llama_index.core.readers.base import BaseReader

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents import Skipped, read_folder
from evalkit.tasks import DataWarning

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00"
PICTURE = "no format that is read; if it is text, --include"


def texts(folder):
    return {file.name: file.text for file in folder.files}


def reasons(folder):
    return {each.name: each.reason for each in folder.skipped}


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


def test_every_kind_of_file(tmp_path):
    (tmp_path / "in" / "der").mkdir(parents=True)
    (tmp_path / "a.txt").write_bytes(b" As it is,\r\n\twith blanks. \n")
    (tmp_path / "in" / "b.MD").write_text("# Grüße\n\nList<int> of [links](x).\n", encoding="utf-8")
    (tmp_path / "in" / "der" / "c.html").write_text(
        "<!DOCTYPE html><head><title>T</title><style>p {}</style></head><body><!-- no --><div>"
        "<h2>Two <i>words</i></h2>"
        "<p>One\n  li<b>ne</b>.</p><p>Next<br>line</p></div><script>no()</script><pre>  kept\n   so</pre>"
        "<table><tr><td>a</td><td>b &amp; c</td></tr></table>"
    )
    pdf(tmp_path / "d.pdf", "First page.", "Second (page.".replace("(", "\\("))
    docx(tmp_path / "e.docx", "A paragraph.", "Another &lt;one&gt;.")
    folder = read_folder(tmp_path)
    assert texts(folder) == {
        "a.txt": " As it is,\r\n\twith blanks. \n",
        "d.pdf": "First page.\nSecond (page.",
        "e.docx": "A paragraph.\n\nAnother <one>.",
        "in/b.MD": "# Grüße\n\nList<int> of [links](x).\n",
        "in/der/c.html": "## Two words\n\nOne line.\n\nNext\nline\n\n  kept\n   so\n\na b & c",
    }
    assert [file.name for file in folder.files] == sorted(texts(folder))
    assert folder.skipped == ()


def test_what_the_reader_of_pdf_logs_is_not_shown(tmp_path, caplog):
    """It names no file; the reason why the file is skipped does."""
    (tmp_path / "broken.pdf").write_bytes(b"not a pdf")
    (tmp_path / "good.txt").write_text("Good.")
    assert [each.name for each in read_folder(tmp_path).skipped] == ["broken.pdf"]
    assert caplog.records == []


def test_every_file_that_is_not_read_is_named_with_a_reason(tmp_path):
    (tmp_path / "good.txt").write_text("Good.")
    (tmp_path / "photo.png").write_bytes(PNG)
    (tmp_path / "photo.txt").write_bytes(PNG)
    (tmp_path / "README").write_text("No suffix.")
    (tmp_path / "zero.md").write_text("")
    (tmp_path / "blank.md").write_text(" \n\t\n")
    (tmp_path / "shell.html").write_text("<body><script>app()</script></body>")
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.4\nnothing")
    (tmp_path / "broken.docx").write_bytes(b"PK nothing")
    (tmp_path / "noise.txt").write_bytes(bytes(range(128, 256)) * 4)
    pdf(tmp_path / "scan.pdf", "", "")
    pdf(tmp_path / "secret.pdf", "Text.", password="x")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config.txt").write_text("Hidden.")
    (tmp_path / ".hidden.txt").write_text("Hidden.")
    (tmp_path / "link.txt").symlink_to(tmp_path / "good.txt")
    (tmp_path / "outside").symlink_to(tmp_path.parent, target_is_directory=True)
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / os.fsdecode(b"m\xfcll.txt")).write_text("Text.")
    folder = read_folder(tmp_path)
    assert texts(folder) == {"good.txt": "Good."}
    damaged = {each.name: each.reason for each in folder.skipped if each.reason.startswith("damaged, or not what")}
    assert damaged.keys() == {"broken.pdf", "broken.docx"}
    assert "BadZipFile" in damaged["broken.docx"]
    assert {name: reason for name, reason in reasons(folder).items() if name not in damaged} == {
        ".git/": "hidden",
        ".hidden.txt": "hidden",
        "README": f"no suffix: {PICTURE} and its name",
        "blank.md": "no text in it",
        "link.txt": "a symbolic link",
        "m\\udcfcll.txt": "its name is not UTF-8. Rename it",
        "noise.txt": "not UTF-8, and in no encoding that can be told. Save it as UTF-8",
        "outside": "a symbolic link",
        "photo.png": f".png: {PICTURE} '*.png'",
        "photo.txt": "binary data, not text",
        "pipe.txt": "not a regular file",
        "scan.pdf": "no text on any page: a scan, or pictures. Recognise its text first (OCR)",
        "secret.pdf": "encrypted: it needs a password",
        "shell.html": "no text in it",
        "zero.md": "empty",
    }


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    (tmp_path / "a.txt").write_text("Good.")
    (tmp_path / "b.txt").write_text("Closed.")
    (tmp_path / "b.txt").chmod(0)
    assert reasons(read_folder(tmp_path)) == {"b.txt": "cannot be read: Permission denied"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_believed(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("Grüße, 日本".encode(encoding))
    assert texts(read_folder(tmp_path)) == {"a.txt": "Grüße, 日本"}


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Die Größe der Fläche beträgt über zwölf Meter – „ungefähr“."),
        ("cp1252", "La cliente a été très déçue à cause du délai. Où est passé le garçon? Voilà le modèle à côté."),
        ("cp1251", "Съешь же ещё этих мягких французских булок, да выпей чаю. Москва столица России."),
        ("cp932", "日本語の文書です。これは試験のための文章であり、文字コードを調べます。" * 3),
    ],
)
def test_an_encoding_that_is_guessed_is_told(tmp_path, encoding, text):
    (tmp_path / "a.txt").write_bytes(text.encode(encoding))
    with pytest.warns(DataWarning, match=rf"not UTF-8; read as {encoding}, which is a guess \(1\): a\.txt"):
        folder = read_folder(tmp_path)
    assert texts(folder) == {"a.txt": text}
    assert folder.files[0].note


def test_html_says_its_encoding_itself(tmp_path):
    (tmp_path / "a.html").write_bytes('<meta charset="iso-8859-2"><p>Łódź</p>'.encode("iso-8859-2"))
    assert texts(read_folder(tmp_path)) == {"a.html": "Łódź"}


def test_doubts_are_noted(tmp_path):
    pdf(tmp_path / "a.pdf", "Text.", "", "More.")
    (tmp_path / "b.txt").write_text("Same.")
    (tmp_path / "c.md").write_text("Same.")
    with pytest.warns(DataWarning) as caught:
        folder = read_folder(tmp_path)
    assert {file.name: file.note for file in folder.files} == {
        "a.pdf": "1 of 3 pages have no text",
        "b.txt": "",
        "c.md": "the same text as b.txt",
    }
    [warning] = caught
    assert "1 of 3 pages have no text (1): a.pdf" in str(warning.message)
    assert warning.filename == __file__


def test_a_pdf_that_opens_without_a_password(tmp_path):
    pdf(tmp_path / "a.pdf", "May be read.", password="", owner="x")
    assert texts(read_folder(tmp_path)) == {"a.pdf": "May be read."}


def test_no_folder_an_empty_folder_and_a_folder_of_pictures(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere: not a folder"):
        read_folder(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match=r"an empty folder\. Give the folder that your documents are in\."):
        read_folder(tmp_path)
    for number in range(12):
        (tmp_path / f"{number:02}.png").write_bytes(PNG)
    (tmp_path / "a.jpg").write_bytes(PNG)
    with pytest.raises(DataError) as caught:
        read_folder(tmp_path)
    shown = ", ".join(f"{number:02}.png" for number in range(10))
    assert str(caught.value) == (
        f"{tmp_path}: 2 problem(s) in the data:\n"
        f"  - .png: {PICTURE} '*.png' (12): {shown} and 2 more\n"
        f"  - .jpg: {PICTURE} '*.jpg' (1): a.jpg\n"
        "Nothing here can be read. Give a folder with documents."
    )


def test_other_kinds_of_file_by_any_llamaindex_reader(tmp_path):
    class Rows(BaseReader):
        def load_data(self, file, extra_info=None):
            if file.name == "bad.csv":
                raise ValueError("a bad row")
            return [Document(text=line) for line in file.read_text().splitlines()]

    (tmp_path / "good.csv").write_text("a\nb\n")
    (tmp_path / "bad.csv").write_text("a\nb\n")
    folder = read_folder(tmp_path, readers={".csv": Rows()})
    assert texts(folder) == {"good.csv": "a\n\nb"}
    assert folder.skipped == (
        Skipped("bad.csv", "damaged, or not what its suffix says: ValueError: a bad row"),
    )  # fmt: skip


def test_the_hash_is_of_names_and_texts(tmp_path):
    def hashed(name, **files):
        folder = tmp_path / name
        folder.mkdir()
        for stem, text in files.items():
            (folder / f"{stem}.txt").write_text(text)
        return read_folder(folder).content_hash

    assert hashed("1", a="x", b="y") == hashed("2", a="x", b="y")
    others = [hashed("3", a="x", c="y"), hashed("4", a="x", b="z"), hashed("5", a="x"), hashed("6", a="y", b="x")]
    assert len({hashed("7", a="x", b="y"), *others}) == 5
