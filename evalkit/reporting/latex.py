"""Tables for a paper: LaTeX with the packages booktabs and graphicx."""

from collections.abc import Sequence

from evalkit.reporting.table import Table, TableCell

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "≈": r"$\approx$", "×": r"$\times$", "±": r"$\pm$", "→": r"$\rightarrow$", "–": "--",
}  # fmt: skip


def to_latex(tables: Sequence[Table]) -> str:
    """Each table as a float of its own, as wide as the text at most; the best of a column in bold."""
    head = "% Needs \\usepackage{booktabs,graphicx}.\n\n"
    return head + "\n".join(_table(table) for table in tables)


def _table(table: Table) -> str:
    numbers = len(table.columns) - table.text_columns
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escape(table.title)}}}",
        # The room that the text leaves, but never larger than it would be.
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{'l' * table.text_columns}{'r' * numbers}}}",
        r"\toprule",
        _line([escape(column) for column in table.columns]),
        r"\midrule",
        *map(_line, rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *([rf"\par\smallskip\footnotesize {escape(table.note)}"] if table.note else []),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _cell(cell: TableCell) -> str:
    text = escape(cell.text)
    return (rf"\textbf{{{text}}}" if cell.best else text) + (r" $\approx$" if cell.tied else "")


def escape(text: str) -> str:
    """Text that LaTeX shows as it is, on one line."""
    return "".join(SPECIAL.get(character, character) for character in " ".join(text.split()))
