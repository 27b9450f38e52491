"""Programs that search the documents as a choice was measured, written beside the recommendation of it.

They need no evalkit where the libraries of its models can do without. What is measured here is not this package's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evalkit import tokenization
from evalkit.metrics.metric import Metric
from evalkit.picking._choice import Choice
from evalkit.picking.documents import Chunk, Chunking, Folder
from evalkit.picking.programs._llamaindex import evalkit_program, llamaindex_program
from evalkit.picking.programs._plain import plain_program
from evalkit.picking.programs._winner import NotPlainError, Winner
from evalkit.reporting.write import MEASURED_CHUNKS, SEARCH, SEARCH_LLAMAINDEX, WORDS, Reports
from evalkit.results import Results


@dataclass(frozen=True)
class Programs:
    """Programs by the name of their file, what they need beside them, and why there are not more of them."""

    programs: dict[str, str]
    beside: dict[str, str]
    reason: str = ""

    @property
    def files(self) -> dict[str, str]:
        """All files by name, with their text."""
        return {**self.beside, **self.programs}

    def write(self, reports: Reports, out: Path) -> None:
        """Write all files to a folder."""
        for name, text in self.files.items():
            reports.write(out, name, partial(str, text))

    def to_markdown(self) -> str:
        """Return the section of the recommendation that shows them."""
        run = ", ".join(f'`python {name} "your question"`' for name in self.programs)
        told = [f"{self.reason}."] if self.reason else []
        if self.programs:
            told.append(
                f"These programs are in this folder: {run}. They rank as was measured, and keep their index on disk. "
                f"`{MEASURED_CHUNKS}` has the chunks that were measured; files that are new or changed are cut anew."
            )
        shown = [f"### {name}\n\n```python\n{text}```" for name, text in self.programs.items()]
        return "\n\n".join(["## The code", " ".join(told), *shown]) + "\n"


def programs_of(
    choice: Choice,
    results: Results,
    folder: Folder,
    chunks: Mapping[Chunking, Sequence[Chunk]],
    out: Path,
    metric: str,
) -> Programs:
    """Return the programs that search a folder as a choice does.

    `chunks` are the chunks that were measured, `out` the folder that the programs will stand in. They hand on as many
    passages as the `metric` that decided looked at.
    """
    winner = Winner(choice, results, folder.path, out, Metric.named(metric).tokens)
    if winner.given:
        return Programs({}, {}, f"There is no code of it: {winner.given[0]} is an object that only your code makes")
    measured = next(found for chunking, found in chunks.items() if chunking.label == choice.chunking)
    chunking = Chunking.labelled(choice.chunking)
    if chunking.has_leaves or chunking.is_late:
        return Programs({}, {}, f"There is no code of it: {chunking.chunker} needs more than the text of a chunk")
    beside = {MEASURED_CHUNKS: _lines(folder, measured)}
    try:
        plain = plain_program(winner)
    except NotPlainError as error:
        reason = f"It needs evalkit: {error}"
        return Programs({SEARCH_LLAMAINDEX: evalkit_program(winner)}, beside, reason)
    if f"from {WORDS.removesuffix('.py')} import" in plain:
        beside[WORDS] = Path(tokenization.__file__).read_text(encoding="utf-8")
    return Programs({SEARCH: plain, SEARCH_LLAMAINDEX: llamaindex_program(winner)}, beside)


def _lines(folder: Folder, chunks: Sequence[Chunk]) -> str:
    """Return the chunks as JSON lines, with the hash of the bytes of the file that each is cut from."""
    hashes = {file.name: file.sha256 for file in folder.files}
    lines = [
        {"id": each.id, "file": each.file, "sha256": hashes[each.file], "start": each.start, "end": each.end,
         "text": each.content}
        for each in chunks
    ]  # fmt: skip
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
