"""Texts of mteb's retrieval data, joined as mteb joins them before a model reads them."""

from collections.abc import Mapping
from typing import Any

from evalkit.types import Document, Query


def is_retrieval(data: Any) -> bool:
    """Whether a split's data is a corpus, queries and judgements."""
    return isinstance(data, Mapping) and "corpus" in data


def read_document(row: Mapping[str, Any]) -> Document:
    """A document whose `content` is the title, if there is one, and the text, without outer blanks."""
    title, text = row.get("title") or "", row["text"] or ""
    return Document(str(row["id"]), text if title else text.strip(), title)


def read_query(row: Mapping[str, Any]) -> Query:
    """A query followed by its instruction, if it has one; of a conversation the turns, apart by semicolons."""
    text, instruction = row["text"], row.get("instruction")
    if not isinstance(text, str):
        text = "; ".join(turn if isinstance(turn, str) else f"{turn['role']}: {turn['content']}" for turn in text)
    return Query(str(row["id"]), text + (f" {instruction}" if instruction is not None else ""))
