"""Lexical models count words without stop words, stemmed, or tokens; all that learn from a corpus share checks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from pydantic import AliasChoices, Field, model_validator

from evalkit.compute import Compute
from evalkit.contracts import Setting
from evalkit.errors import ConfigError, ModelNotFoundError, OptionalDependencyError
from evalkit.models.registry.folder import read_json
from evalkit.models.registry.options import Options
from evalkit.models.weights import file_hash, locate
from evalkit.tokenization import RULES, words


def texts_hash(texts: Iterable[str]) -> str:
    """Return SHA-256 over texts in order, in hex: of each text's own hash, so that no two lists read the same."""
    total = sha256()
    for text in texts:
        total.update(sha256(text.encode("utf-8", "surrogatepass")).digest())
    return total.hexdigest()


def not_fitted(family: str) -> ConfigError:
    """Return the error for a model that is used before it has seen a corpus."""
    return ConfigError(f"{family} has not seen a corpus yet: call fit(texts) and use the copy it returns.")


def check_ids(family: str, fitted: int, document_ids: Sequence[str]) -> None:
    """Raise ConfigError unless there is one id for each document that the model was fitted on."""
    if len(document_ids) != fitted:
        raise ConfigError(
            f"{family} was fitted on {fitted} documents, but got {len(document_ids)} document ids. "
            "Give the ids of the fitted documents, in their order."
        )


TOKENIZER = "tokenizer.json"


StopWords = Literal[
    "none", "chinese", "danish", "dutch", "english", "french", "german", "italian", "korean", "norwegian",
    "portuguese", "russian", "spanish", "swedish", "turkish",
]  # fmt: skip
"""Languages that bm25s has stop words of."""
Stemmer = Literal[
    "arabic", "armenian", "basque", "catalan", "danish", "dutch", "english", "esperanto", "estonian", "finnish",
    "french", "german", "greek", "hindi", "hungarian", "indonesian", "irish", "italian", "lithuanian", "nepali",
    "norwegian", "porter", "portuguese", "romanian", "russian", "serbian", "spanish", "swedish", "tamil", "turkish",
    "yiddish",
]  # fmt: skip
"""Snowball's stemmers."""


class TermOptions(Options):
    """Options of lexical models: what they count. See `models.terms`."""

    stop_words: StopWords | None = Field(
        None,
        validation_alias=AliasChoices("stop_words", "stopwords"),
        description="language whose stop words are left out",
    )
    stemmer: Stemmer | None = Field(None, description="language whose words are cut to their stems (Snowball)")
    tokenizer: str | None = Field(
        None, description="tokenizer.json, or folder or hub name of a model that has one, in place of words"
    )

    @model_validator(mode="after")
    def _tokens_are_no_words(self) -> Self:
        if self.tokenizer is not None and (self.stemmer is not None or self.stop_words not in (None, "none")):
            raise ValueError("stop_words and stemmer are for words, and a tokenizer gives tokens: leave one out")
        return self


class Terms(Protocol):
    """Splits texts into terms."""

    @property
    def identity(self) -> Mapping[str, object]:
        """Everything that changes the terms, as plain data."""
        ...

    def of(self, texts: Sequence[str]) -> list[list[str]]:
        """Give the terms of each text, in order."""
        ...


def make_terms(options: TermOptions, compute: Compute, stop_words: frozenset[str]) -> Terms:
    """Find what the options name. `stop_words` are those of the option of that name.

    Raises ModelNotFoundError if there is no such tokenizer, OptionalDependencyError without `tokenizers`.
    """
    if options.tokenizer is not None:
        return _Tokens(_tokenizer_file(options.tokenizer, compute))
    return _Words(stop_words, options.stemmer)


def stop_words(language: StopWords) -> frozenset[str]:
    """Give the words that bm25s leaves out in a language; none for "none"."""
    if language == "none":
        return frozenset()
    import bm25s.stopwords  # type: ignore[import-untyped]

    name = "EN" if language == "english" else language.upper()
    return frozenset(getattr(bm25s.stopwords, f"STOPWORDS_{name}"))


def stop_words_setting(options: TermOptions, language: StopWords) -> Setting:
    """Say whose stop words are left out, and whether the user said so."""
    return Setting(language, "default" if options.stop_words is None else "option")


@dataclass(frozen=True)
class _Words:
    """The words of `tokenization`, lower-cased, without stop words, then stemmed by Snowball (PyStemmer)."""

    stop_words: frozenset[str]
    stemmer: str | None

    @property
    def identity(self) -> Mapping[str, object]:
        return {"words": RULES}

    def of(self, texts: Sequence[str]) -> list[list[str]]:
        kept = [[word for word in words(text.lower()) if word not in self.stop_words] for text in texts]
        if self.stemmer is None:
            return kept
        stemmer = _stemmer(self.stemmer)
        return [stemmer.stemWords(of_text) for of_text in kept]


class _Tokens:
    """The tokens that a tokenizer of the `tokenizers` library makes of lower-cased texts, but for unknown ones."""

    def __init__(self, file: Path) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare ones
            raise ModelNotFoundError(f"{file} is no tokenizer that `tokenizers` can read: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._unknown = getattr(self._tokenizer.model, "unk_token", None)
        self.identity: Mapping[str, object] = {"tokenizer": file_hash(file)}

    def of(self, texts: Sequence[str]) -> list[list[str]]:
        """Give the tokens of each text, in order."""
        lower = [text.lower() for text in texts]
        encodings = self._tokenizer.encode_batch(lower, add_special_tokens=False)
        return [[token for token in encoding.tokens if token != self._unknown] for encoding in encodings]


@cache
def _stemmer(language: str) -> Any:
    import Stemmer

    return Stemmer.Stemmer(language)


def _tokenizer_file(name: str, compute: Compute) -> Path:
    """Find a tokenizer's file by its path, or in a folder or a model of the hub."""
    try:
        import tokenizers  # noqa: F401
    except ImportError:
        raise OptionalDependencyError("tokenizer=", "tokenizers", "words") from None
    path = Path(name).expanduser()
    file = path if path.is_file() else locate(name, compute=compute, weights=False) / TOKENIZER
    if not file.is_file():
        raise ModelNotFoundError(
            f"{name!r} has no {TOKENIZER}. tokenizer= takes such a file, or a folder or hub model that holds one."
        )
    read_json(file)
    return file
