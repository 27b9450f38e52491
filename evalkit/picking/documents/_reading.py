"""The text of one file, or the reason why it has none.

PDF and Word files are read by the packages that LlamaIndex's readers wrap, called directly, since the readers hide
what has to be known here: SimpleDirectoryReader leaves out undecodable bytes and, after a print, whole files that
cannot be read; PDFReader reports an encrypted file as a retry that failed; HTMLTagReader joins the words of
neighbouring paragraphs; MarkdownReader deletes what stands between < and >. They also need an older pandas.
"""

import codecs
import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.errors import OptionalDependencyError

if TYPE_CHECKING:
    from llama_index.core.readers.base import BaseReader

_BOMS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, which begins alike
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_MOST_COMMON = "cp1252"
"""Of several encodings that fit, this is taken: Western European texts fit many alike."""

_NOT_SHOWN = ["head", "title", "script", "style", "template", "noscript"]
_HEADINGS = {f"h{level}": "\n" + "#" * level + " " for level in range(1, 7)}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "legend", "li", "main", "menu", "nav",
    "ol", "option", "p", "pre", "section", "summary", "table", "tr", "ul", *_HEADINGS,
}  # fmt: skip
_AFTER = {"br": "\n", "td": " ", "th": " "}


class UnreadableError(Exception):
    """A file that has no text for us; the message is the reason, to be shown to the user."""


def read_text(path: Path, readers: Mapping[str, "BaseReader"]) -> tuple[str, str]:
    """Return a file's text and a note on what is doubtful about it ("" mostly). `readers`, by suffix, go before our
    own.

    Raises UnreadableError, and OptionalDependencyError if a package is missing.
    """
    suffix = path.suffix.lower()
    try:
        if suffix in readers:
            text, note = "\n\n".join(document.text for document in readers[suffix].load_data(path)), ""
        elif suffix in _READERS:
            text, note = _READERS[suffix](path)
        else:
            raise UnreadableError(f"{suffix or 'no suffix'}: not one of {', '.join(_READERS)}")
    except (UnreadableError, OptionalDependencyError):
        raise
    except OSError as error:
        raise UnreadableError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # whatever a parser of damaged files raises
        raise UnreadableError(f"damaged, or not what its suffix says: {type(error).__name__}: {error}") from error
    if not text.strip():
        raise UnreadableError("empty" if path.stat().st_size == 0 else "no text in it")
    return text, note


def _plain(path: Path) -> tuple[str, str]:
    return _decode(path.read_bytes())


def _decode(data: bytes, declared: str | None = None) -> tuple[str, str]:
    """Return text of bytes in the encoding that a byte order mark names, or that is `declared`, or UTF-8, or
    guessed.
    """
    marked = next((encoding for mark, encoding in _BOMS.items() if data.startswith(mark)), None)
    if marked is None and _BINARY.search(data):
        raise UnreadableError("binary data, not text")
    for encoding in filter(None, [marked, declared, "utf-8"]):
        try:
            return data.decode(encoding), ""
        except (UnicodeDecodeError, LookupError):
            continue
    found = _needed("charset_normalizer", "guessing encodings").from_bytes(data)
    # Without a language whose letters fit, any bytes are text in some encoding.
    likely = [match for match in found if match.coherence > 0]
    if not likely:
        raise UnreadableError("not UTF-8, and in no encoding that can be told. Save it as UTF-8")
    common = any(_MOST_COMMON in match.could_be_from_charset for match in likely)
    encoding = _MOST_COMMON if common else likely[0].encoding
    return data.decode(encoding), f"not UTF-8; read as {encoding}, which is a guess"


def _html(path: Path) -> tuple[str, str]:
    """Tell what a browser shows, a line a block; headings as in Markdown, so that they can be told from text."""
    bs4 = _needed("bs4", "reading .html")
    data = path.read_bytes()
    text, note = _decode(
        data, import_module("bs4.dammit").EncodingDetector.find_declared_encoding(data, is_html=True)
    )
    soup = bs4.BeautifulSoup(text, "html.parser")
    for tag in soup.find_all(_NOT_SHOWN):
        tag.decompose()
    for string in soup.find_all(string=True):
        if isinstance(string, bs4.element.PreformattedString):  # comments, doctypes
            string.extract()
        elif string.find_parent("pre") is None:
            string.replace_with(re.sub(r"\s+", " ", string))
    for tag in soup.find_all([*_BLOCKS, *_AFTER]):
        if tag.name in _BLOCKS:
            tag.insert(0, "\n" + _HEADINGS.get(tag.name, ""))
        tag.append(_AFTER.get(tag.name, "\n"))
    lines = (line.rstrip() for line in soup.get_text().split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(line if line.strip() else "" for line in lines)).strip(), note


def _pdf(path: Path) -> tuple[str, str]:
    """Return the text of all pages, a line end between two (as LlamaIndex's PDFReader makes of a full document)."""
    reader = _needed("pypdf", "reading .pdf").PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableError("encrypted: it needs a password")
    # Lone halves of a surrogate pair, which broken fonts give, could be written nowhere.
    pages = [_mended(page.extract_text()) for page in reader.pages]
    empty = sum(not page.strip() for page in pages)
    if pages and empty == len(pages):
        raise UnreadableError("no text on any page: a scan, or pictures. Recognise its text first (OCR)")
    return "\n".join(pages), f"{empty} of {len(pages)} pages have no text" if empty else ""


def _docx(path: Path) -> tuple[str, str]:
    """Headers, text and footers; no footnotes, comments or deleted text."""
    return str(_needed("docx2txt", "reading .docx").process(path)), ""


def _mended(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _needed(module: str, what: str) -> Any:
    try:
        return import_module(module)
    except ImportError:
        raise OptionalDependencyError(what, module, "pick") from None


_READERS: Mapping[str, Callable[[Path], tuple[str, str]]] = {
    ".txt": _plain, ".md": _plain, ".markdown": _plain, ".html": _html, ".htm": _html, ".pdf": _pdf, ".docx": _docx,
}  # fmt: skip
