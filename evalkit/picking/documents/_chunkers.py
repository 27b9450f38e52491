"""Chunkers by name: the sections that LlamaIndex's node parsers make of a text, before its SentenceSplitter cuts."""

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field, PositiveInt

from evalkit.errors import ConfigError, did_you_mean
from evalkit.models.registry.options import Options
from evalkit.models.registry.reference import ModelRef
from evalkit.models.registry.selection import choose
from evalkit.models.registry.spec import parse_options, refuse_secrets
from evalkit.picking.documents._folder import SourceFile
from evalkit.picking.documents._places import places
from evalkit.picking.documents._reading import is_plain
from evalkit.runner.context import RunContext

if TYPE_CHECKING:
    from llama_index.core.schema import BaseNode

Sections = Callable[[SourceFile], Sequence[str]]
"""Gives the sections of a file's text, which cover it in order; no chunk reaches from one into the next."""


class SemanticOptions(Options):
    """Options of `semantic`."""

    model: str = Field(description="the embedder that tells where the subject changes")


SENTENCE, LATE = "sentence", "late"


class HierarchicalOptions(Options):
    """Options of `hierarchical`."""

    leaf: PositiveInt = Field(128, description="tokens of the leaves, which are searched")


CHUNKERS: Mapping[str, type[Options]] = {
    SENTENCE: Options,
    "markdown": Options,
    "headings": Options,
    "semantic": SemanticOptions,
    "hierarchical": HierarchicalOptions,
    LATE: Options,
}
"""The options of each chunker, by name."""
TEXTS_PER_CALL = 256
"""Sentences that an embedder is given at once; LlamaIndex gives ten."""
_HEADING = re.compile(r"#+\s(.*)")


def parse_chunker(text: str) -> tuple[str, Options]:
    """Return the name of a chunker and its options, of `NAME?option=value`.

    Raises ConfigError for a name that is none and for a model that is no embedder, SpecError for wrong options, and
    what `registry.resolve` raises.
    """
    refuse_secrets(text)
    name, _, query = text.partition("?")
    if name not in CHUNKERS:
        raise ConfigError(
            f"unknown chunker {name!r}. {did_you_mean(name, CHUNKERS)} A comma in its options is written %2C."
        )
    options = parse_options(text, CHUNKERS[name], query)
    if isinstance(options, SemanticOptions):
        _embedder(options)
    return name, options


def _embedder(options: SemanticOptions) -> ModelRef:
    chosen = list(choose([options.model], {"embedder"}).values())
    if len(chosen) != 1 or (chosen[0].spec is not None and chosen[0].spec.learns):
        raise ConfigError(
            f"semantic?model={options.model}: give one embedder that has weights of its own, such as "
            "semantic?model=all-MiniLM-L6-v2; what learns from a corpus cannot read before there is one."
        )
    return chosen[0]


def sections_by(name: str, options: Options, context: RunContext) -> Sections:
    """Return what cuts a text into sections: all of it is one, unless the chunker is `markdown` or `semantic`.

    Text that is read as it is, such as code, has no Markdown in it.
    """
    if name == "markdown":
        return lambda file: (
            [file.text] if is_plain(file.name) else [section.get_content() for section in _markdown(file.text)]
        )
    if isinstance(options, SemanticOptions):
        return _semantic(options, context)
    return lambda file: [file.text]


def _markdown(text: str) -> "Sequence[BaseNode]":
    from llama_index.core.node_parser import MarkdownNodeParser
    from llama_index.core.schema import Document

    # No heading has a line end in it.
    return MarkdownNodeParser(header_path_separator="\n").get_nodes_from_documents([Document(text=text)])


def _semantic(options: SemanticOptions, context: RunContext) -> Sections:
    from llama_index.core.node_parser import SemanticSplitterNodeParser
    from llama_index.core.schema import Document

    from evalkit.integrations.llamaindex import EvalkitEmbedding

    embedding = EvalkitEmbedding(context.load(_embedder(options)), embed_batch_size=TEXTS_PER_CALL)
    parser = SemanticSplitterNodeParser(embed_model=embedding)
    return lambda file: [node.get_content() for node in parser.get_nodes_from_documents([Document(text=file.text)])]


def headings_above(file: SourceFile, starts: Sequence[int]) -> list[tuple[str, ...]]:
    """Return, for each place in a file's text, the headings that it stands under, the highest first.

    A place at which a heading begins stands under those above that one.
    """
    if is_plain(file.name):
        return [()] * len(starts)
    sections = _markdown(file.text)
    spans = places(file.text, [section.get_content() for section in sections], file.name)
    above = []
    for start in starts:
        number = bisect_right(spans, start, key=lambda span: span[0]) - 1
        path = [heading for heading in sections[number].metadata["header_path"].split("\n") if heading.strip()]
        own = _own_heading(file.text, spans[number])
        above.append(tuple(path + [own] * bool(own and start > spans[number][0])))
    return above


def _own_heading(text: str, span: tuple[int, int]) -> str:
    """Return the heading that a section begins with; "" for what stands before the first one."""
    start, end = span
    found = _HEADING.match(text, start, end) if start == 0 or text[start - 1] == "\n" else None
    return "" if found is None else found[1].strip()
