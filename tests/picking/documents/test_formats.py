"""What is made of each format: its text, its headings, and the reasons where there is no text."""

import json
import re
import sys
import tomllib
import warnings
from email.message import EmailMessage
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import pytest
from files import docx, epub, pdf, pptx, xlsx

from evalkit.errors import ConfigError, DataError
from evalkit.picking.documents import FORMATS, read_folder
from evalkit.tasks import DataWarning

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        yield


def only(folder, **options):
    """The one file of a folder."""
    (file,) = read_folder(folder, **options).files
    return file


def headings(file):
    """The words of each heading, and what of the text it takes."""
    return [(heading.words, file.text[heading.start : heading.end]) for heading in file.headings]


def why_not(folder, **options):
    """The reason for which the one file of a folder is not read."""
    with pytest.raises(DataError) as caught:
        read_folder(folder, **options)
    (problem,) = caught.value.problems
    return problem.rpartition(" (1): ")[0]


MARKDOWN = """\
---
title: A page
# not: a heading
---
# One *word*

```bash
# no heading
make
```

~~~
## nor this
~~~

    # nor code

Two
===

## 3. Three ##

#hashtag
"""


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_headings_of_markdown_are_not_in_code(tmp_path, line_end):
    (tmp_path / "a.md").write_bytes(MARKDOWN.replace("\n", line_end).encode())
    file = only(tmp_path)
    assert file.text == MARKDOWN.replace("\n", line_end)
    assert headings(file) == [
        ("One *word*", "# One *word*"), ("Two", f"Two{line_end}==="), ("3. Three", "## 3. Three ##"),
    ]  # fmt: skip


def test_headings_of_plain_text_are_marked_with_signs(tmp_path):
    (tmp_path / "a.txt").write_text("# One\n\nA table\n-------\n\n```\n# code\n```\n\n  ## Two\n")
    assert [words for words, _ in headings(only(tmp_path))] == ["One", "Two"]


def test_headings_of_html_are_not_lines_of_code(tmp_path):
    (tmp_path / "a.html").write_text(
        "<h1>Big <a href='#x'>link</a></h1><p>Text.</p><pre># no heading</pre><h3>A<br>B</h3><h2> </h2><p># nor this"
    )
    file = only(tmp_path)
    assert file.text == "# Big link\n\nText.\n\n# no heading\n\n### A B\n\n# nor this"
    assert headings(file) == [("Big link", "# Big link"), ("A B", "### A B")]


RST = """\
.. contents::

Cats
====

A *cat* sees :class:`~zoo.Dog`, see :ref:`the dogs <dogs>` and `a page <https://example.org>`_.

.. note:: Do not wake it.

.. versionadded:: 2.0
   It can be :meth:`woken`.

Code
----

.. code-block:: python
   :caption: none

   # no heading
   wake(cat)

::

   ----
   nor this

.. toctree::
   :maxdepth: 2

   dogs

.. include:: SECRET

.. raw:: html
   :file: SECRET
"""


def test_rst_is_what_is_shown_and_reads_no_other_file(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "secret.txt").write_text("A secret.")
    (tmp_path / "docs" / "a.rst").write_text(RST.replace("SECRET", str(tmp_path / "secret.txt")))
    file = only(tmp_path / "docs")
    assert headings(file) == [("Cats", "# Cats"), ("Code", "## Code")]
    words = " ".join(file.text.split())
    assert "A cat sees Dog, see the dogs and a page." in words
    assert "Do not wake it." in words
    assert "It can be woken." in words
    assert "# no heading\nwake(cat)" in file.text
    assert "A secret" not in words
    assert ":class:" not in words
    assert "maxdepth" not in words
    assert words.count("Cats") == 1, "not in a list of contents too"


def test_a_notebook_is_its_cells(tmp_path):
    cells = [
        {"cell_type": "markdown", "source": ["# Cats\n", "Cats sleep."]},
        {"cell_type": "code", "source": "# no heading\nsleep()", "outputs": [{"text": "zzz"}]},
        {"cell_type": "markdown", "source": ""},
        {"cell_type": "markdown", "source": "## Dogs"},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"nbformat": 4, "cells": cells}))
    file = only(tmp_path)
    assert file.text == "# Cats\nCats sleep.\n\n# no heading\nsleep()\n\n## Dogs"
    assert headings(file) == [("Cats", "# Cats"), ("Dogs", "## Dogs")]


@pytest.mark.parametrize(
    ("notebook", "reason"),
    [
        ([], "no Jupyter notebook"),
        ({"nbformat": 3}, "a notebook of format 3. Convert it: jupyter nbconvert --to notebook"),
    ],
)
def test_what_is_no_notebook(tmp_path, notebook, reason):
    (tmp_path / "a.ipynb").write_text(json.dumps(notebook))
    assert why_not(tmp_path) == reason


@pytest.mark.parametrize(("suffix", "delimiter"), [("csv", ","), ("csv", ";"), ("tsv", "\t"), ("csv", "|")])
def test_a_table_is_a_record_a_row_of_the_fields_with_letters(tmp_path, suffix, delimiter):
    table = pd.DataFrame(
        {"id": [1, 2], "question": ["How, why?", 'A "word"'], "answer": ["So;\nso", ""], "date": ["2024-01-01", "-"]}
    )
    table.to_csv(tmp_path / f"a.{suffix}", sep=delimiter, index=False)
    file = only(tmp_path)
    assert file.text == 'question: How, why?\nanswer: So;\nso\n\nquestion: A "word"'
    assert (file.fields, file.left_out) == (("question", "answer"), ("id", "date"))
    assert only(tmp_path, fields="answer").text == "So;\nso"
    assert only(tmp_path, fields=["id", "answer"]).text == "id: 1\nanswer: So;\nso\n\nid: 2"


def test_a_column_alone_is_not_cut_at_commas(tmp_path):
    (tmp_path / "a.tsv").write_text("text\nOne, two\nThree\n")
    assert only(tmp_path).text == "One, two\n\nThree"


def test_a_table_without_a_header_has_columns_by_number(tmp_path):
    (tmp_path / "a.csv").write_text("1,one\n2,two\n")
    assert only(tmp_path).text == "one\n\ntwo"
    assert only(tmp_path).fields == ("column 2",)


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_records_of_json(tmp_path, suffix):
    rows = [
        {"id": "1", "text": "Cats sleep.", "meta": {"by": ["Ann", "Bob"], "year": 2024}, "none": None},
        {"id": "2", "text": "Grüße", "parts": [{"title": "A"}, {"title": "B"}]},
    ]
    lines = json.dumps(rows) if suffix == "json" else "\n".join(map(json.dumps, rows)) + "\n\n"
    (tmp_path / f"a.{suffix}").write_text(lines)
    file = only(tmp_path)
    assert file.text == ("text: Cats sleep.\nmeta.by: Ann, Bob\n\ntext: Grüße\nparts.title: A\nparts.title: B")
    assert file.left_out == ("id", "meta.year")
    assert only(tmp_path, fields="meta").text == "meta.by: Ann, Bob\nmeta.year: 2024"


def test_json_around_a_list_of_records_and_other_json(tmp_path):
    (tmp_path / "a.json").write_text('{"source": "The web", "rows": [{"text": "One."}, {"text": "Two."}]}')
    assert only(tmp_path).text == "source: The web\n\ntext: One.\n\ntext: Two."
    (tmp_path / "a.json").write_text('["One.", "Two."]')
    assert only(tmp_path).text == "One.\n\nTwo."
    (tmp_path / "a.json").write_text('"\\ud83d"')
    assert only(tmp_path, fields="text").text == "\ufffd", "half a character could not be written"


def test_lines_that_are_not_json_are_counted(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": "One."}\n{"text": \n{"text": "Two."}\n')
    with pytest.warns(DataWarning, match=r"1 of 3 lines are not JSON \(line 2: Expecting value\)"):
        assert only(tmp_path).text == "One.\n\nTwo."


def test_a_field_that_is_nowhere_is_an_error_with_the_nearest(tmp_path):
    (tmp_path / "a.csv").write_text("text,title\nOne,Two\n")
    (tmp_path / "b.csv").write_text("other,id\nThree,4\n")
    read = read_folder(tmp_path, fields="text")
    assert [each.reason for each in read.skipped] == ["none of the fields text; it has other, id"]
    with pytest.raises(ConfigError, match=r"no table that was read has a field 'titel'.*title"):
        read_folder(tmp_path, fields="text,titel")


def test_fields_say_nothing_about_other_formats(tmp_path):
    (tmp_path / "a.csv").write_text("text,title\nOne,Two\n")
    (tmp_path / "b.md").write_text("Text.")
    assert [file.text for file in read_folder(tmp_path, fields="title").files] == ["Two", "Text."]


def test_a_spreadsheet_is_its_sheets(tmp_path):
    rows = [["id", "name", None], [None, None, None], [1, "Cat", "small"], [2, "Dog", None]]
    xlsx(tmp_path / "a.xlsx", pets=rows)
    assert only(tmp_path).text == "name: Cat\ncolumn 3: small\n\nname: Dog"
    xlsx(tmp_path / "a.xlsx", pets=rows, empty=[], towns=[["town"], ["Ulm"]])
    file = only(tmp_path)
    assert file.text == "# pets\n\nname: Cat\ncolumn 3: small\n\nname: Dog\n\n# towns\n\ntown: Ulm"
    assert [words for words, _ in headings(file)] == ["pets", "towns"]
    assert file.left_out == ("id",)


def test_slides(tmp_path):
    pptx(
        tmp_path / "a.pptx",
        ("Cats", "They sleep.\vA lot.", ["a", "b"], "Say it slowly."),
        ("Dogs", "Bark.", None, ""),
    )
    file = only(tmp_path)
    assert file.text == "# Cats\n\nThey sleep.\nA lot.\n\na b\n\nSay it slowly.\n\n# Dogs\n\nBark."
    assert headings(file) == [("Cats", "# Cats"), ("Dogs", "# Dogs")]
    pptx(tmp_path / "a.pptx", ("Cats", "", None, ""), ("", "", None, ""))
    with pytest.warns(DataWarning, match="1 of 2 slides have no text"):
        assert only(tmp_path).text == "# Cats"


def test_a_book_is_read_in_its_order(tmp_path):
    epub(tmp_path / "a.epub", "<h1>One</h1><p>First.</p>", "<h1>Two</h1><p>Last.</p>", encrypted=["OEBPS/font.otf"])
    file = only(tmp_path)
    assert file.text == "# One\n\nFirst.\n\n# Two\n\nLast."
    assert headings(file) == [("One", "# One"), ("Two", "# Two")]
    epub(tmp_path / "a.epub", "<p>One</p>", encrypted=["OEBPS/part%200.xhtml"])
    assert why_not(tmp_path) == "encrypted: protected against copying"


def test_a_mail_is_its_text_and_names_its_attachments(tmp_path):
    mail = EmailMessage()
    mail["Subject"], mail["From"], mail["Date"] = "Größe", "Ann <ann@example.org>", "Mon, 01 Jan 2024 10:00:00 +0000"
    mail.set_content("Zwölf Meter.\n")
    mail.add_alternative("<p>Zwölf <b>Meter</b>.</p>", subtype="html")
    mail.add_attachment(b"\x00", maintype="image", subtype="png", filename="plan.png")
    (tmp_path / "a.eml").write_bytes(mail.as_bytes())
    with pytest.warns(DataWarning, match=r"1 attachment\(s\) not read: plan.png"):
        text = only(tmp_path).text
    assert text == (
        "Subject: Größe\nFrom: Ann <ann@example.org>\nDate: Mon, 01 Jan 2024 10:00:00 +0000\n\nZwölf Meter."
    )
    mail = EmailMessage()
    mail["Subject"] = "Page"
    mail.set_content("<h1>Łódź</h1>", subtype="html", charset="iso-8859-2")
    (tmp_path / "a.eml").write_bytes(mail.as_bytes())
    assert only(tmp_path).text == "Subject: Page\n\n# Łódź"
    (tmp_path / "a.eml").write_text("No mail.")
    assert why_not(tmp_path) == "no e-mail: it has no subject, sender or date"


def test_source_code_is_read_as_it_is_and_has_no_headings(tmp_path):
    (tmp_path / "a.py").write_text("# A comment\ndef cats(): ...\n")
    assert only(tmp_path).text == "# A comment\ndef cats(): ...\n"
    assert only(tmp_path).headings == ()


def test_any_text_can_be_included(tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.LOG").write_text("Started.")
    (tmp_path / "README").write_text("Read me.")
    (tmp_path / "b.html").write_text("<p>One.</p>")
    (tmp_path / "c.tex").write_text("Not this.")
    read = read_folder(tmp_path, include="logs/*.log, README,*.html")
    assert [(file.name, file.text) for file in read.files] == [
        ("README", "Read me."), ("b.html", "<p>One.</p>"), ("logs/a.LOG", "Started."),
    ]  # fmt: skip
    assert [each.name for each in read.skipped] == ["c.tex"]
    with pytest.raises(ConfigError, match=r"no file fits '\*\.txt'\. Include names or patterns"):
        read_folder(tmp_path, include=["*.log", "*.txt"])


def write_one(suffix, path):
    """Write a file of a format that has text."""
    made = {
        ".pdf": lambda: pdf(path, "Text."),
        ".docx": lambda: docx(path, "Text."),
        ".pptx": lambda: pptx(path, ("One", "Text.", None, "")),
        ".xlsx": lambda: xlsx(path, one=[["text"], ["Text."]]),
        ".epub": lambda: epub(path, "<p>Text.</p>"),
    }
    made.get(suffix, lambda: path.write_text("Text."))()


NEEDS = {
    ".html": "bs4", ".rst": "docutils", ".md": "markdown_it", ".pdf": "pypdf", ".docx": "docx2txt", ".pptx": "pptx",
    ".xlsx": "openpyxl", ".epub": "bs4",
}  # fmt: skip


@pytest.mark.parametrize(("suffix", "module"), NEEDS.items())
def test_a_missing_library_is_a_reason_that_names_the_extra(tmp_path, monkeypatch, suffix, module):
    write_one(suffix, tmp_path / f"a{suffix}")
    (tmp_path / "good.py").write_text("Good.")
    assert read_folder(tmp_path).skipped == ()
    monkeypatch.setitem(sys.modules, module, None)
    read = read_folder(tmp_path)
    assert [file.name for file in read.files] == ["good.py"]
    (skipped,) = read.skipped
    assert f"needs the package '{module}'. Install it: pip install " in skipped.reason
    assert skipped.reason.endswith("(the extra pick)")
    extra = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["pick"]
    (package,) = packages_distributions()[module]
    assert any(re.match(rf"{package}\b", each, re.IGNORECASE) for each in extra)


@pytest.mark.parametrize("suffix", FORMATS)
def test_empty_files_and_files_of_another_kind_are_reasons(tmp_path, suffix):
    (tmp_path / "good.txt").write_text("Good.")
    (tmp_path / f"empty{suffix}").write_bytes(b"")
    (tmp_path / f"odd{suffix}").write_bytes(b"\x00\x01 no such thing" * 9)
    read = read_folder(tmp_path)
    reasons = {each.name: each.reason for each in read.skipped}
    assert reasons.keys() == {f"empty{suffix}", f"odd{suffix}"}
    assert reasons[f"empty{suffix}"] == "empty"
    assert reasons[f"odd{suffix}"].startswith(("binary data", "damaged, or not what its suffix says", "no e-mail"))


@pytest.mark.parametrize("suffix", [".txt", ".md", ".html", ".rst", ".csv", ".json", ".jsonl", ".py", ".eml"])
def test_every_text_may_be_in_another_encoding(tmp_path, suffix):
    sentence = "Die Größe der Fläche beträgt über zwölf Meter – „ungefähr“, und für Gäste wäre das schön."
    text = {
        ".csv": f"id,text\n1,{sentence.replace(',', '')}\n", ".json": json.dumps([sentence], ensure_ascii=False),
        ".jsonl": json.dumps(sentence, ensure_ascii=False), ".eml": f"Subject: a\n\n{sentence}",
    }.get(suffix, sentence)  # fmt: skip
    (tmp_path / f"a{suffix}").write_bytes(text.encode("cp1252"))
    with pytest.warns(DataWarning, match="not UTF-8; read as cp1252, which is a guess"):
        assert "Die Größe der Fläche beträgt über zwölf Meter – „ungefähr“" in only(tmp_path).text


@pytest.mark.parametrize("suffix", [".docx", ".pptx", ".xlsx"])
def test_office_files_of_old_and_with_a_password(tmp_path, suffix):
    ole = bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 99
    (tmp_path / f"a{suffix}").write_bytes(ole)
    assert why_not(tmp_path) == f"in the form that Office had up to 2003. Save it as {suffix}"
    (tmp_path / f"a{suffix}").write_bytes(ole + "EncryptedPackage".encode("utf-16-le"))
    assert why_not(tmp_path) == "encrypted: it needs a password"


def test_the_page_names_every_suffix_and_every_package():
    page = (ROOT / "docs" / "how" / "documents.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| .")]
    assert sorted(suffix for row in rows for suffix in row[1].split()) == sorted(FORMATS)
    needed = {package for module in NEEDS.values() for package in packages_distributions()[module]}
    assert {row[3].strip() for row in rows} - {""} == {package.lower() for package in needed}
