"""A pick on folders as people have them: in Chinese, in German, of PDFs, of RST, and of files that cannot be read."""

import json
from pathlib import Path

import pytest
from files import pdf

import evalkit as package
from evalkit.results import Results

GERMAN = {
    "heizung.txt": "Die Heizung schaltet sich im Sommer von selbst ab. Der Drehknopf regelt die Wärme im Zimmer.",
    "lueftung.txt": "Der Filter der Lüftung muss alle sechs Monate gewechselt werden, sonst riecht die Luft muffig.",
    "garten.txt": "Den Schlauch für den Garten findet man im Schuppen, der Schlüssel hängt hinter der Küchentür.",
}
CHINESE = {
    "暖气.txt": "夏天暖气会自动关闭。左边的旋钮可以调节房间的温度。",
    "通风.txt": "通风系统的滤网每六个月要更换一次，不然空气会有异味。",
    "花园.txt": "浇花的水管放在小棚里，钥匙挂在厨房门的后面。",
}
ENGLISH = {
    "heating": "The heating turns itself off in summer. The knob on the left sets the warmth of the room.",
    "air": "Change the filter of the ventilation every six months, or the air will smell.",
    "garden": "The hose for the garden is in the shed, and its key hangs behind the kitchen door.",
}
PAGE = """\
{title}
{line}

.. note:: {text}

See :doc:`the other page <other>`.

.. code-block:: bash

   # no heading of this page, and no question about it either
   open --door
"""


def write_texts(folder: Path, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def write_pdfs(folder: Path) -> None:
    for name, text in ENGLISH.items():
        pdf(folder / f"{name}.pdf", text, "A second page about nothing.")


def write_rst(folder: Path) -> None:
    for name, text in ENGLISH.items():
        title = f"What the {name} of this house needs of you"
        (folder / f"{name}.rst").write_text(PAGE.format(title=title, line="=" * len(title), text=text))


def pick(folder: Path, out: Path, questions: Path | None = None):
    return package.pick(
        folder, questions=questions, models="bm25", chunk_size=64, chunk_overlap=0, top_k="1", device="cpu",
        measure_seconds=0.1, out=out,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("write", "asked"),
    [
        (lambda folder: write_texts(folder, GERMAN),
         {"Wo hängt der Schlüssel?": "garten.txt", "Wann wird der Filter gewechselt?": "lueftung.txt",
          "Schaltet sich die Heizung ab?": "heizung.txt"}),
        (lambda folder: write_texts(folder, CHINESE),
         {"钥匙在哪里？": "花园.txt", "滤网多久更换一次？": "通风.txt", "怎样调节温度？": "暖气.txt"}),
        (write_pdfs,
         {"where does the key hang": "garden.pdf", "when to change the filter": "air.pdf",
          "does the heating turn off": "heating.pdf"}),
        (write_rst,
         {"where does the key hang": "garden.rst", "when to change the filter": "air.rst",
          "does the heating turn off": "heating.rst"}),
    ],
    ids=["german", "chinese", "pdf", "rst"],
)  # fmt: skip
def test_questions_find_their_files(tmp_path, write, asked):
    (tmp_path / "docs").mkdir()
    write(tmp_path / "docs")
    rows = [{"question": question, "file": file} for question, file in asked.items()]
    (tmp_path / "questions.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    picked = pick(tmp_path / "docs", tmp_path / "out", tmp_path / "questions.jsonl")
    assert picked.recommendation.best.score == 1.0
    assert picked.results.provenance["pick"]["documents"]["skipped"] == []
    assert "Only" not in picked.results.provenance["pick"]["recommendation"][0]


def test_headings_of_rst_are_asked_and_its_code_is_not(tmp_path):
    (tmp_path / "docs").mkdir()
    write_rst(tmp_path / "docs")
    pick(tmp_path / "docs", tmp_path / "out")
    asked = [json.loads(line) for line in (tmp_path / "out" / "questions.jsonl").read_text().splitlines()]
    headings = {row["question"]: row["file"] for row in asked if row["kind"] == "heading"}
    assert headings == {f"What the {name} of this house needs of you": f"{name}.rst" for name in ENGLISH}
    assert not any("no heading" in row["question"] for row in asked)


def test_the_headline_says_first_that_most_cannot_be_read(tmp_path, evalkit):
    docs = tmp_path / "docs"
    docs.mkdir()
    write_texts(docs, {f"{name}.md": text for name, text in ENGLISH.items()})
    write_texts(docs, {"faq.csv": "id,question,answer\n1,Who cleans the attic?,Nobody has ever cleaned the attic.\n"})
    for number in range(8):
        (docs / f"scan{number}.png").write_bytes(b"\x89PNG\0" * 200)
    for number in range(4):
        pdf(docs / f"scan{number}.pdf", "")
    (docs / "notes.log").write_text("The cellar is flooded in every spring.")
    (tmp_path / "questions.csv").write_text(
        "question,quote\nwhen must the filter be changed,Change the filter of the ventilation every six months\n"
        "who cleans up there,Nobody has ever cleaned the attic.\n"
        "what is under water,The cellar is flooded in every spring.\n"
    )
    status, out, err = evalkit(
        "pick", docs, "--include", "*.log", "--questions", tmp_path / "questions.csv", "--models", "bm25",
        "--chunk-size", "64", "--chunk-overlap", "0", "--device", "cpu", "--measure-seconds", "0.1",
        "--out", tmp_path / "out", "--report",
    )  # fmt: skip
    assert status == 0, err
    read = [*docs.glob("*.md"), docs / "faq.csv", docs / "notes.log"]
    share = sum(path.stat().st_size for path in read) / sum(path.stat().st_size for path in docs.iterdir())
    warning = f"Only 5 of 17 files ({int(100 * share)} % of the bytes) were read: not 8 .png, 4 .pdf."
    said = Results.read(tmp_path / "out").provenance["pick"]["recommendation"]
    assert said[0].startswith(f"{warning} ")
    assert " ".join(out.split()).startswith(warning)
    assert (tmp_path / "out" / "recommendation.md").read_text().startswith(f"# {warning} ")
    page = (tmp_path / "out" / "report.html").read_text()
    assert warning in page
    assert "Of faq.csv the fields question, answer were read, not id." in " ".join(out.split())
