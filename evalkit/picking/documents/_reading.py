"""The formats that are read, and the text of one file, or the reason why it has none."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from evalkit.errors import OptionalDependencyError
from evalkit.picking.documents._bundles import read_eml, read_epub, read_ipynb
from evalkit.picking.documents._markup import read_html, read_markdown, read_rst, read_txt
from evalkit.picking.documents._office import read_docx, read_pdf, read_pptx
from evalkit.picking.documents._records import Records, read_csv, read_json, read_jsonl, read_xlsx
from evalkit.picking.documents._text import EXTRA, Text, UnreadableError, decode

if TYPE_CHECKING:
    from llama_index.core.readers.base import BaseReader


def read_plain(path: Path) -> Text:
    """Return the file as it is."""
    return decode(path.read_bytes())


_SOURCE_CODE = (
    ".bash", ".c", ".cc", ".cfg", ".cpp", ".cs", ".go", ".graphql", ".h", ".hpp", ".ini", ".java", ".jl", ".js",
    ".jsx", ".kt", ".lua", ".mjs", ".php", ".pl", ".proto", ".ps1", ".py", ".pyi", ".r", ".rb", ".rs", ".scala",
    ".sh", ".sql", ".svelte", ".swift", ".tf", ".toml", ".ts", ".tsx", ".vue", ".yaml", ".yml",
)  # fmt: skip
FORMATS: Mapping[str, Callable[[Path], Text | Records]] = {
    **dict.fromkeys(_SOURCE_CODE, read_plain),
    **dict.fromkeys((".txt", ".text"), read_txt),
    **dict.fromkeys((".md", ".markdown", ".mdx"), read_markdown),
    **dict.fromkeys((".html", ".htm", ".xhtml"), read_html),
    ".rst": read_rst,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".pptx": read_pptx,
    **dict.fromkeys((".xlsx", ".xlsm"), read_xlsx),
    **dict.fromkeys((".csv", ".tsv"), read_csv),
    ".json": read_json,
    **dict.fromkeys((".jsonl", ".ndjson"), read_jsonl),
    ".epub": read_epub,
    ".eml": read_eml,
    ".ipynb": read_ipynb,
}
"""What reads the files of each suffix, in small letters. It raises UnreadableError, or OptionalDependencyError where
a package of the extra `pick` is missing.
"""


def read_text(
    path: Path,
    name: str,
    *,
    include: Sequence[str] = (),
    fields: Sequence[str] = (),
    readers: "Mapping[str, BaseReader] | None" = None,
) -> Text:
    """Return a file's text. `name` is its path within the folder.

    A file that one of the patterns in `include` fits is read as plain text; `readers`, by suffix, go before our own;
    of a table these `fields` are read, or else all with letters. Raises UnreadableError with the reason.
    """
    try:
        if path.stat().st_size == 0:
            raise UnreadableError("empty")
        if any(fits(name, pattern) for pattern in include):
            text: Text | Records = read_plain(path)
        else:
            text = _read(path, readers or {})
        text = text.as_text(fields) if isinstance(text, Records) else text
    except UnreadableError:
        raise
    except OptionalDependencyError as error:
        raise UnreadableError(f"{error} (the extra {EXTRA})") from error
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a parser of damaged files raises
        raise UnreadableError(f"damaged, or not what its suffix says: {type(error).__name__}: {error}") from error
    if not text.content.strip():
        raise UnreadableError("no text in it")
    return text


def is_plain(name: str) -> bool:
    """Tell whether a file is read as it is: in code, a line that begins with # is no heading."""
    return FORMATS.get(PurePath(name).suffix.lower(), read_plain) is read_plain


def fits(name: str, pattern: str) -> bool:
    """Tell whether a pattern such as "*.log" or "notes/*" fits the end of a path, whatever the case of letters."""
    return PurePath(name.lower()).match(pattern.lower())


def _read(path: Path, readers: "Mapping[str, BaseReader]") -> Text | Records:
    suffix = path.suffix.lower()
    if suffix in readers:
        return Text("\n\n".join(document.text for document in readers[suffix].load_data(path)))
    if suffix in FORMATS:
        return FORMATS[suffix](path)
    pattern = f"'*{suffix}'" if suffix else "and its name"
    raise UnreadableError(f"{suffix or 'no suffix'}: no format that is read; if it is text, --include {pattern}")
