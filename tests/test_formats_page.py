"""docs/formats.md: each example is written to a file and loaded, and has the rows that the table says."""

import re
from pathlib import Path

import pytest

from evalkit.tasks import load_task
from evalkit.tasks.kinds import kind_of
from evalkit.tasks.rows import CORPUS, PAIRS, QRELS, QUERIES, QUESTIONS
from evalkit.types import StsTask

PAGE = (Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\| `([^`]+)` \| .* \| (\d+) \|$", PAGE, re.MULTILINE)
BLOCK = re.compile(r"(?:^`([^`\n]+)`\n\n)?^```(text|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("formats")
    names: dict[str, object] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, language, content in BLOCK.findall(PAGE):
            if language == "python":
                exec(content, names)
            else:
                Path(name).parent.mkdir(parents=True, exist_ok=True)
                Path(name).write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("name", "rows"), TABLE)
def test_an_example_is_read_whole(name, rows, written):
    task = load_task(str(written / name))
    assert len(kind_of(task).ids(task)) == int(rows)
    if isinstance(task, StsTask):
        assert sorted(task.gold.tolist()) == ([0.2, 4.0] if name == "glue.tsv" else [0.2, 4.2])


def test_every_form_has_an_example(written):
    assert len(TABLE) >= 13
    assert {name for name, _ in TABLE} == {path.name for path in written.iterdir()}


def test_every_name_of_a_column_in_the_table_is_read():
    fields = {
        "`sentence1`": (PAIRS, {"sentence1"}),
        "`score` of a pair": (PAIRS, {"score"}),
        "`_id` of a document": (CORPUS, {"_id"}),
        "`text` of a document": (CORPUS, {"text"}),
        "`_id` of a query": (QUERIES, {"_id"}),
        "`text` of a query": (QUERIES, {"text"}),
        "`query-id`": (QRELS, {"query-id", "corpus-id", "score"}),
        "`question`": (QUESTIONS, {"question"}),
        "`passage`": (QUESTIONS, {"passage"}),
    }
    section = PAGE.partition("## Names of columns")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) == len(fields)
    for row, (start, (kind, allowed)) in zip(rows, fields.items(), strict=True):
        assert row[0].startswith(start)
        for name in re.findall(r"`([^`]+)`", row[1]):
            assert kind.match([name]).keys() & allowed, name
