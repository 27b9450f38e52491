"""What models that learn from the task's corpus share: its hash, the errors of wrong use."""

from collections.abc import Iterable, Sequence
from hashlib import sha256

from evalkit.errors import ConfigError


def texts_hash(texts: Iterable[str]) -> str:
    """SHA-256 over texts in order, in hex: of each text's own hash, so that no two lists read the same."""
    total = sha256()
    for text in texts:
        total.update(sha256(text.encode("utf-8", "surrogatepass")).digest())
    return total.hexdigest()


def not_fitted(family: str) -> ConfigError:
    """The error for a model that is used before it has seen a corpus."""
    return ConfigError(f"{family} has not seen a corpus yet: call fit(texts) and use the copy it returns.")


def check_ids(family: str, fitted: int, document_ids: Sequence[str]) -> None:
    """Raise ConfigError unless there is one id for each document that the model was fitted on."""
    if len(document_ids) != fitted:
        raise ConfigError(
            f"{family} was fitted on {fitted} documents, but got {len(document_ids)} document ids. "
            "Give the ids of the fitted documents, in their order."
        )
