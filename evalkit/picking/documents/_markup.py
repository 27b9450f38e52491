"""Texts with markup: Markdown as it is written, HTML and reStructuredText as they are shown.

LlamaIndex's readers are not used here: HTMLTagReader joins the words of neighbouring paragraphs, and MarkdownReader
deletes what stands between < and >.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.picking.documents._text import Heading, Text, decode, needed

if TYPE_CHECKING:
    from docutils.nodes import Element, document

_NOT_SHOWN = ["head", "title", "script", "style", "template", "noscript"]
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "legend", "li", "main", "menu", "nav",
    "ol", "option", "p", "pre", "section", "summary", "table", "tr", "ul", *_HEADINGS,
}  # fmt: skip
_AFTER = {"br": "\n", "td": " ", "th": " "}
_MARK = "\x01"
"""Before a heading while HTML becomes text; no text has it, for files with it are taken for binary data."""
_MARKED = re.compile(rf"{_MARK}(?P<line>#+ (?P<words>.*))")

_FRONT_MATTER = re.compile(r"---[ \t]*\r?\n.*?^(---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)
"""YAML above a page, which would be read as a heading with a line under it."""
_LINE_END = re.compile(r"\r\n?|\n")

_DOCUTILS = {
    "_disable_config": True,
    "doctitle_xform": False,
    "embed_stylesheet": False,
    "file_insertion_enabled": False,  # a document must not read others
    "halt_level": 5,
    "initial_header_level": 1,
    "math_output": "LaTeX",
    "report_level": 5,
    "syntax_highlight": "none",
    "warning_stream": False,
}
"""Settings of docutils: nothing is printed, nothing stops the reading, and no file but the given one is read."""
_ERROR = 3
"""The level of docutils' messages from which on what they quote is nowhere else in its tree."""
_DIRECTIVE = re.compile(r"\.\.[ \t]+(?:\|[^|\n]*\|[ \t]+)?(?P<name>[\w:.+-]+?)[ \t]*::(?P<argument>.*)")
_OPTION = re.compile(r"[ \t]*:[^:\n]+:(?:[ \t].*)?")
_CODE = {
    "code", "code-block", "console", "highlight", "ipython", "literalinclude", "parsed-literal", "prompt",
    "productionlist", "sourcecode", "doctest", "testcode", "testoutput", "testsetup", "testcleanup",
}  # fmt: skip
"""Directives whose content is no text with markup; their argument names a language."""
_ROLE = re.compile(
    r"(?::[\w.:+-]+:)?`(?P<title>[^`]*?)(?:\s*<(?P<target>[^<>`]*)>)?`(?::[\w.:+-]+:)?_{0,2}", re.DOTALL
)


def read_markdown(path: Path) -> Text:
    """Return the file as it is, with the headings that CommonMark finds: none in code, none in front matter."""
    text = decode(path.read_bytes())
    return Text(text.content, tuple(markdown_headings(text.content)), text.note)


def read_txt(path: Path) -> Text:
    """Return the file as it is; of Markdown's headings it has those that begin with "#", for a line of signs under
    text may be a rule.
    """
    text = read_markdown(path)
    marked = (each for each in text.headings if text.content[each.start : each.end].lstrip().startswith("#"))
    return replace(text, headings=tuple(marked))


def markdown_headings(text: str) -> Iterator[Heading]:
    """Yield the headings of a text in Markdown."""
    front = _FRONT_MATTER.match(text)
    start = front.end() if front else 0
    ends = [start, *(start + end.end() for end in _LINE_END.finditer(text[start:])), len(text)]
    tokens = needed("markdown_it", "finding headings").MarkdownIt("commonmark").disable("inline").parse(text[start:])
    for token, inline in pairwise(tokens):
        if token.type == "heading_open" and inline.content.strip():
            first, last = token.map
            written = text[ends[first] : ends[last]]
            yield Heading(inline.content, ends[first], ends[first] + len(written.rstrip()))


def read_html(path: Path) -> Text:
    """Return what a browser shows of the file."""
    return html_text(path.read_bytes())


def html_text(data: bytes, declared: str | None = None) -> Text:
    """Return what a browser shows, a line a block, headings as Markdown's; links are their text, without address.

    `declared` is the encoding that whoever sent the page names; else it is the page's own.
    """
    bs4 = needed("bs4", "reading HTML")
    encoding = declared or needed("bs4.dammit", "reading HTML").EncodingDetector.find_declared_encoding(
        data, is_html=True
    )
    text = decode(data, encoding)
    soup = bs4.BeautifulSoup(text.content, "html.parser")
    for tag in soup.find_all(_NOT_SHOWN):
        tag.decompose()
    for string in soup.find_all(string=True):
        if isinstance(string, bs4.element.PreformattedString):  # comments, doctypes
            string.extract()
        elif string.find_parent("pre") is None:
            string.replace_with(re.sub(r"\s+", " ", string))
    for heading in soup.find_all(list(_HEADINGS)):
        _put_in_a_line(heading)
    for tag in soup.find_all([*_BLOCKS, *_AFTER]):
        if tag.name in _BLOCKS:
            tag.insert(0, "\n")
        tag.append(_AFTER.get(tag.name, "\n"))
    lines = (line.rstrip() for line in soup.get_text().split("\n"))
    shown = re.sub(r"\n{3,}", "\n\n", "\n".join(line if line.strip() else "" for line in lines)).strip()
    return _without_marks(shown, text.note)


def _put_in_a_line(heading: Any) -> None:
    """Make one line of a heading, with the mark that tells it from a line of code that begins with "#"."""
    for inner in heading.find_all(["br", *_BLOCKS]):
        inner.insert_before(" ")
        inner.append(" ")
    words = " ".join(heading.get_text().split())
    heading.string = f"{_MARK}{_HEADINGS[heading.name]} {words}" if words else ""


def _without_marks(text: str, note: str) -> Text:
    headings: list[Heading] = []
    parts: list[str] = []
    length = done = 0
    for found in _MARKED.finditer(text):
        parts += [text[done : found.start()], found["line"]]
        length += found.start() - done
        headings.append(Heading(found["words"].strip(), length, length + len(found["line"])))
        length += len(found["line"])
        done = found.end()
    return Text("".join([*parts, text[done:]]), tuple(headings), note)


def read_rst(path: Path) -> Text:
    """Return what docutils shows of the file, as `html_text` does of a page.

    Directives and roles that docutils does not know, such as Sphinx's, keep their text.
    """
    needed("docutils", "reading .rst")
    from docutils.core import publish_from_doctree

    text = decode(path.read_bytes())
    page = publish_from_doctree(_doctree(text.content), writer="html5", settings_overrides=_DOCUTILS)
    shown = html_text(page, "utf-8")
    return Text(shown.content, shown.headings, text.note)


def _doctree(text: str) -> "document":
    from docutils import nodes
    from docutils.core import publish_doctree

    tree = publish_doctree(text, settings_overrides=_DOCUTILS)
    for topic in tree.findall(nodes.topic):
        if "contents" in topic["classes"]:  # the headings once more
            topic.parent.remove(topic)
    for role in list(tree.findall(nodes.problematic)):
        role.parent.replace(role, nodes.Text(_shown_of_role(role.astext())))
    for message in list(tree.findall(nodes.system_message)):
        if message["level"] >= _ERROR:
            quoted = [block.astext() for block in message.findall(nodes.literal_block)]
            message.parent.replace(message, list(chain.from_iterable(map(_shown_of_error, quoted))))
    return tree


def _shown_of_role(written: str) -> str:
    """Return what Sphinx shows of a role: ":class:`~flask.Flask`" is "Flask", ":ref:`its title <label>`" the title.

    What is no role is returned as it is.
    """
    found = _ROLE.fullmatch(written)
    if not found:
        return written
    shown = found["title"].strip() or found["target"] or ""
    return shown.rpartition(".")[2] if shown.startswith("~") else shown.removeprefix("!")


def _shown_of_error(written: str) -> "list[Element]":
    """Return what is shown of a part that docutils refused: of a directive its argument and its content."""
    from docutils import nodes

    first, _, rest = written.partition("\n")
    found = _DIRECTIVE.fullmatch(first.strip())
    if not found:
        return [nodes.literal_block(written, written)]
    lines = textwrap.dedent(rest).split("\n")
    while lines and _OPTION.fullmatch(lines[0]):
        del lines[0]
    content = "\n".join(lines).strip("\n")
    if found["name"] in _CODE:
        return [nodes.literal_block(content, content)]
    argument = found["argument"].strip()
    return list(_doctree(f"{argument}\n\n{content}").children)
