"""PDF, Word and PowerPoint.

They are read by the packages that LlamaIndex's readers wrap, called directly, since the readers hide what has to be
known here: SimpleDirectoryReader leaves out, after a print, whole files that cannot be read; PDFReader reports an
encrypted file as a retry that failed. They also need an older pandas.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.picking.documents._text import Text, UnreadableError, joined, needed

if TYPE_CHECKING:
    from pptx.shapes.base import BaseShape
    from pptx.slide import Slide

_OLE = bytes.fromhex("d0cf11e0a1b11ae1")
"""How files of Office up to 2003 begin, and files with a password, which are such a file around another."""
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")


def read_pdf(path: Path) -> Text:
    """Return the text of all pages, a line end between two (as LlamaIndex's PDFReader makes of a full document)."""
    with _unlogged("pypdf"):
        reader = needed("pypdf", "reading .pdf").PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("encrypted: it needs a password")
        # Lone halves of a surrogate pair, which broken fonts give, could be written nowhere.
        pages = [_mended(page.extract_text()) for page in reader.pages]
    empty = sum(not page.strip() for page in pages)
    if pages and empty == len(pages):
        raise UnreadableError("no text on any page: a scan, or pictures. Recognise its text first (OCR)")
    return Text("\n".join(pages), note=f"{empty} of {len(pages)} pages have no text" if empty else "")


@contextmanager
def _unlogged(package: str) -> Iterator[None]:
    """Keep what a package logs off the terminal: it names no file, and the reason why one is skipped does."""
    logger = logging.getLogger(package)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mended(text: str) -> str:
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def check_office(path: Path) -> None:
    """Raise UnreadableError for a file that has a password, or is in the form that Office had up to 2003."""
    data = path.read_bytes()
    if data.startswith(_OLE):
        raise UnreadableError(
            "encrypted: it needs a password"
            if _ENCRYPTED in data
            else f"in the form that Office had up to 2003. Save it as {path.suffix.lower()}"
        )


def read_docx(path: Path) -> Text:
    """Return headers, text and footers; no footnotes, comments or deleted text."""
    docx2txt = needed("docx2txt", "reading .docx")
    check_office(path)
    return Text(str(docx2txt.process(path)))


def read_pptx(path: Path) -> Text:
    """Return the slides in order: the title as a heading, the text of all shapes and tables, the speaker's notes.

    Footers, dates and numbers of slides are left out; pictures have no text.
    """
    pptx = needed("pptx", "reading .pptx")
    check_office(path)
    slides = [joined(_parts(slide)) for slide in pptx.Presentation(str(path)).slides]
    empty = sum(not slide.content for slide in slides)
    text = joined(slides)
    return Text(text.content, text.headings, f"{empty} of {len(slides)} slides have no text" if empty else "")


def _parts(slide: "Slide") -> Iterator[Text]:
    title = slide.shapes.title
    if title is not None and title.has_text_frame and title.text_frame.text.strip():
        yield Text.of_heading(title.text_frame.text)
    for text in _texts(shape for shape in slide.shapes if title is None or shape.shape_id != title.shape_id):
        yield Text(text.replace("\v", "\n"))
    if slide.has_notes_slide and (notes := slide.notes_slide.notes_text_frame) is not None:
        yield Text(notes.text.replace("\v", "\n"))


def _texts(shapes: "Iterable[BaseShape]") -> Iterator[str]:
    """Yield the text of each shape, those of groups too; cells of tables as HTML's: a row a line."""
    from pptx.enum.shapes import PP_PLACEHOLDER
    from pptx.shapes.autoshape import Shape
    from pptx.shapes.graphfrm import GraphicFrame
    from pptx.shapes.group import GroupShape

    on_all_slides = (PP_PLACEHOLDER.FOOTER, PP_PLACEHOLDER.DATE, PP_PLACEHOLDER.SLIDE_NUMBER)
    for shape in shapes:
        if shape.is_placeholder and shape.placeholder_format.type in on_all_slides:
            continue
        if isinstance(shape, GroupShape):
            yield from _texts(shape.shapes)
        elif isinstance(shape, GraphicFrame) and shape.has_table:
            yield "\n".join(" ".join(cell.text for cell in row.cells).strip() for row in shape.table.rows)
        elif isinstance(shape, Shape):  # no line and no picture
            yield shape.text_frame.text
