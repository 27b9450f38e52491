"""A table for people, and as text: Markdown, and LaTeX with the packages booktabs and graphicx."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TableCell:
    """A piece of text; `best` marks the best value of its column, `tied` one that cannot be told from the best."""

    text: str
    best: bool = False
    tied: bool = False

    @property
    def mark(self) -> str:
        """What stands behind the text."""
        return " ≈" if self.tied else ""


@dataclass(frozen=True)
class Table:
    """A titled table: column names, rows of as many cells, a note below; columns after `text_columns` are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    note: str = ""
    text_columns: int = 1


def in_brackets(low: float, high: float, form: str, scale: float = 1) -> str:
    """Return an interval as it stands behind its score: " (0.31–0.52)", " (-0.10 to 0.25)"; "" where there is
    none.
    """
    if math.isnan(low):
        return ""
    return f" ({form.format(scale * low)}{'–' if low >= 0 else ' to '}{form.format(scale * high)})"


def to_markdown(tables: Sequence[Table]) -> str:
    """Return all tables, each under its title; the best of a column in bold."""
    return "\n\n".join(_markdown_table(table) for table in tables) + "\n"


def _markdown_table(table: Table) -> str:
    lines = [f"### {_markdown_text(table.title)}", ""]
    lines.append(_markdown_line([_markdown_text(column) for column in table.columns]))
    lines.append(
        _markdown_line(["---" if column < table.text_columns else "---:" for column in range(len(table.columns))])
    )
    lines += [_markdown_line([_markdown_cell(cell) for cell in row]) for row in table.rows]
    if table.note:
        lines += ["", table.note]
    return "\n".join(lines)


def _markdown_line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _markdown_cell(cell: TableCell) -> str:
    text = _markdown_text(cell.text)
    return (f"**{text}**" if cell.best else text) + cell.mark


def _markdown_text(text: str) -> str:
    for character in ("\\", "|", "*", "_", "`", "<"):
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "≈": r"$\approx$", "×": r"$\times$", "±": r"$\pm$", "→": r"$\rightarrow$", "–": "--",
}  # fmt: skip


def to_latex(tables: Sequence[Table]) -> str:
    """Return each table as a float of its own, as wide as the text at most; the best of a column in bold."""
    head = "% Needs \\usepackage{booktabs,graphicx}.\n\n"
    return head + "\n".join(_latex_table(table) for table in tables)


def _latex_table(table: Table) -> str:
    numbers = len(table.columns) - table.text_columns
    rows = [[_latex_cell(cell) for cell in row] for row in table.rows]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        # The room that the text leaves, but never larger than it would be.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * table.text_columns}{'r' * numbers}}}",
        r"\toprule",
        _latex_line([escape(column) for column in table.columns]),
        r"\midrule",
        *map(_latex_line, rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *([rf"\par\smallskip\footnotesize {escape(table.note)}"] if table.note else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _latex_cell(cell: TableCell) -> str:
    text = escape(cell.text)
    return (rf"\textbf{{{text}}}" if cell.best else text) + (r" $\approx$" if cell.tied else "")


def escape(text: str) -> str:
    """Return text that LaTeX shows as it is, on one line."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))
