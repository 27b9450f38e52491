"""How many tokens a text has for the language model that reads it."""

from collections.abc import Iterable

from evalkit.errors import OptionalDependencyError


def count_tokens(texts: Iterable[str]) -> list[int]:
    """Return how many tokens each text has for a language model, by LlamaIndex's tokenizer.

    That is cl100k_base of tiktoken, which it brings along, or another one if `llama_index.core.set_global_tokenizer`
    was called. Raises OptionalDependencyError.
    """
    try:
        from llama_index.core.utils import get_tokenizer
    except ImportError:
        raise OptionalDependencyError("counting tokens", "llama_index.core", "pick") from None
    tokenize = get_tokenizer()
    return [len(tokenize(text)) for text in texts]
