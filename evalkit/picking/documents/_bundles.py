"""Files that bundle several texts: EPUB books, e-mails and Jupyter notebooks."""

import json
import posixpath
import zipfile
from collections.abc import Iterator
from email import policy
from email.message import MIMEPart
from email.parser import BytesParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

from evalkit.picking.documents._markup import html_text, markdown_headings
from evalkit.picking.documents._text import Text, UnreadableError, decode, joined

_CONTAINER, _ENCRYPTION = "META-INF/container.xml", "META-INF/encryption.xml"
_TOLD = ("subject", "from", "to", "date")
"""The headers of an e-mail that are part of its text."""
_NOTEBOOK = 4
"""The major version of Jupyter's format since 2015."""


def read_epub(path: Path) -> Text:
    """Return the chapters of a book in the order in which they are read, each as a page of HTML."""
    with zipfile.ZipFile(path) as book:
        container = ElementTree.fromstring(book.read(_CONTAINER))
        root = next(iter(container.findall(".//{*}rootfile")), None)
        if root is None:
            raise UnreadableError("no EPUB: it names no package document")
        place = root.attrib["full-path"]
        package = ElementTree.fromstring(book.read(place))
        pages = {each.attrib["id"]: each.attrib["href"] for each in package.findall(".//{*}manifest/{*}item")}
        names = [
            posixpath.normpath(posixpath.join(posixpath.dirname(place), unquote(pages[each.attrib["idref"]])))
            for each in package.findall(".//{*}spine/{*}itemref")
        ]
        if _encrypted(book) & set(names):
            raise UnreadableError("encrypted: protected against copying")
        return joined(html_text(book.read(name)) for name in names)


def _encrypted(book: zipfile.ZipFile) -> set[str]:
    """Return the names of what is encrypted in a book: often its fonts, which need not be read."""
    if _ENCRYPTION not in book.namelist():
        return set()
    found = ElementTree.fromstring(book.read(_ENCRYPTION)).findall(".//{*}CipherReference")
    return {unquote(each.attrib["URI"]) for each in found}


def read_eml(path: Path) -> Text:
    """Return subject, sender, receivers, date and text of an e-mail; attachments are named in the note only."""
    with path.open("rb") as file:
        message = BytesParser(policy=policy.default).parse(file)
    if not any(name in message for name in ("subject", "from", "date")):
        raise UnreadableError("no e-mail: it has no subject, sender or date")
    head = "\n".join(f"{name.capitalize()}: {message[name]}" for name in _TOLD if name in message)
    body = message.get_body(("plain", "html"))
    texts, attachments = [] if body is None else [_of_part(body)], []
    for part in message.iter_attachments():
        if part.get_content_type() == "text/plain" and not part.get_filename() and not part.is_attachment():
            texts.append(_of_part(part))  # a mailing list's footer, or what stands behind a picture
        else:
            attachments.append(part.get_filename() or part.get_content_type())
    note = f"{len(attachments)} attachment(s) not read: {', '.join(attachments)}" if attachments else ""
    return joined([Text(head), *texts, Text("", note=note)])


def _of_part(part: MIMEPart) -> Text:
    content = part.get_payload(decode=True)
    if not isinstance(content, bytes):
        return Text("")
    if part.get_content_type() == "text/html":
        return html_text(content, part.get_content_charset())
    text = decode(content, part.get_content_charset())
    return Text("\n".join(text.content.splitlines()).strip(), note=text.note)


def read_ipynb(path: Path) -> Text:
    """Return the Markdown and the code of a notebook's cells, as they are written; outputs are left out."""
    notebook = json.loads(path.read_bytes())
    if not isinstance(notebook, dict) or "nbformat" not in notebook:
        raise UnreadableError("no Jupyter notebook")
    if notebook["nbformat"] < _NOTEBOOK:
        raise UnreadableError(
            f"a notebook of format {notebook['nbformat']}. Convert it: jupyter nbconvert --to notebook"
        )
    return joined(_cells(notebook))


def _cells(notebook: dict[str, Any]) -> Iterator[Text]:
    for cell in notebook["cells"]:
        source = cell["source"] if isinstance(cell["source"], str) else "".join(cell["source"])
        headings = tuple(markdown_headings(source)) if cell["cell_type"] == "markdown" else ()
        yield Text(source, headings)
