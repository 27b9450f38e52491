"""Every weight of a network comes from its files: what is missing, unexpected or of another shape is an error.

transformers fills missing weights with random numbers and warns; sentence-transformers loads through it.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evalkit.errors import ModelNotFoundError

SHOWN = 5
"""Names of weights that an error shows of each kind."""
LEFT_BY = {
    "module.": "DistributedDataParallel (save `model.module.state_dict()`)",
    "_orig_mod.": "torch.compile (save `model._orig_mod.state_dict()`)",
    "0.auto_model.": "a SentenceTransformer's state dict (save the model by its `save`)",
    "_fsdp_wrapped_module.": "FullyShardedDataParallel (save its full state dict)",
    "_forward_module.": "Lightning (save the inner model's state dict)",
}
"""What puts a prefix before the names of all weights, and what to save in their place."""
BUFFERS = re.compile(r"(?:^|\.)(?:position_ids|token_type_ids|inv_freq|masked_bias|attn\.bias|attention\.bias)$")
"""What older versions saved beside the weights: computed, not trained."""


@contextmanager
def complete_weights(what: str | Path) -> Iterator[None]:
    """While transformers loads: raise ModelNotFoundError if not all weights are in the files, and all files' in it.

    So it is for weights that are no finite numbers, and for a tokenizer that knows no word.

    `what` is loaded: a folder, or a name where another library knows the folder.

    Heads that the network does not have are no matter (`cls.*`, `lm_head.*`); nor is a pooler that it has in vain, on
    top of the token vectors. That gets NaN for weights: if it were read after all, no vector could be scored.
    """
    if find_spec("transformers") is None:  # nor is there anything that loads through it
        yield
        return
    from transformers import PreTrainedTokenizerBase, modeling_utils
    from transformers.integrations import peft

    reports: list[tuple[Any, Any]] = []
    tokenizers: list[Any] = []

    def note(model: Any, *_: object, loading_info: Any, **__: object) -> None:
        reports.append((model, loading_info))

    def read(cls: type, *names: Any, **how: Any) -> Any:
        tokenizers.append(own_read.__func__(cls, *names, **how))
        return tokenizers[-1]

    own_read: Any = vars(PreTrainedTokenizerBase)["from_pretrained"]
    own = modeling_utils.log_state_dict_report  # type: ignore[attr-defined]
    PreTrainedTokenizerBase.from_pretrained = classmethod(read)  # type: ignore[assignment]
    modeling_utils.log_state_dict_report = peft.log_state_dict_report = note  # type: ignore[assignment, attr-defined]
    try:
        yield
    finally:
        modeling_utils.log_state_dict_report = peft.log_state_dict_report = own  # type: ignore[attr-defined]
        PreTrainedTokenizerBase.from_pretrained = own_read  # type: ignore[method-assign]
    for tokenizer in tokenizers:
        _refuse_empty(str(what), tokenizer)
    for model, report in reports:
        _check(str(what), model, report)


def refuse_tokens_beyond(what: str | Path, tokenizer: Any, network: Any) -> None:
    """Raise ModelNotFoundError for a tokenizer that gives tokens which a network of transformers has no vectors for.

    Special tokens that it puts nowhere by itself, such as one for pictures, may lie beyond. So it is for one that has
    nothing to fill up shorter texts with.
    """
    _refuse_unpadded(what, tokenizer)
    try:
        rows = getattr(network.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:  # no table of tokens: CANINE hashes characters
        return
    if rows is None:
        return
    inserted = {*tokenizer("")["input_ids"], tokenizer.pad_token_id}
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    refuse_ids_beyond(what, tokenizer.get_vocab(), rows, special - inserted)


def _refuse_unpadded(what: str | Path, tokenizer: Any) -> None:
    """Raise ModelNotFoundError for a tokenizer that cannot make texts of one length, so that no batch can be read."""
    if getattr(tokenizer, "pad_token", "") is None:
        raise ModelNotFoundError(
            f'{what}: the tokenizer has no token to fill up shorter texts with. Name one as "pad_token" in '
            f"tokenizer_config.json; of a language model that is mostly its end, {tokenizer.eos_token!r}."
        )


def refuse_ids_beyond(
    what: str | Path, vocabulary: Mapping[str, int], rows: int, allowed: Collection[int] = ()
) -> None:
    """Raise ModelNotFoundError if tokens have numbers beyond the rows of a table of vectors, the allowed apart."""
    beyond = sorted(
        (number, token) for token, number in vocabulary.items() if number >= rows and number not in allowed
    )
    if beyond:
        number, token = beyond[0]
        raise ModelNotFoundError(
            f"{what}: the tokenizer has {len(vocabulary):,} tokens, and the network {rows:,} vectors for them: "
            f"{len(beyond):,} have none, the first is {token!r} (number {number:,}). Take the tokenizer that the "
            "weights were trained with; or, after tokens were added, resize the embeddings, train them and save both."
        )


def refuse_adapter_without_peft(folder: Path) -> None:
    """Raise ModelNotFoundError if a folder holds an adapter, and the package that reads adapters is missing."""
    if next(folder.rglob("adapter_config.json"), None) and find_spec("peft") is None:
        raise ModelNotFoundError(
            f"{folder} holds an adapter, which only the package 'peft' reads. Install it: pip install peft"
        )


def _refuse_empty(what: str, tokenizer: Any) -> None:
    """Raise ModelNotFoundError for a tokenizer that knows no word, which transformers makes where its files are not.

    Every text would be a row of unknown tokens.
    """
    if getattr(tokenizer, "vocab_size", None) is not None and tokenizer.vocab_size <= len(tokenizer.all_special_ids):
        raise ModelNotFoundError(
            f"{what} has no files of a tokenizer with words in them (tokenizer.json, vocab.txt or the like), so "
            "every word would be an unknown one. Save the tokenizer beside the weights."
        )


def _check(what: str, model: Any, report: Any) -> None:
    headless = model.base_model is model
    missing = {name for name in report.missing_keys if not _from_adapter(model, name)}
    in_vain = {name for name in missing if headless and "pooler" in name.split(".")}
    misshapen = {name: (tuple(got), tuple(needed)) for name, got, needed in report.mismatched_keys}
    problems = [
        _listed("missing from the files", missing - in_vain),
        _listed("unexpected", _misplaced(model, report.unexpected_keys)),
        _listed("of another shape", [f"{name} {got}, not {needed}" for name, (got, needed) in misshapen.items()]),
        _listed("not to be read", [*report.conversion_errors, *report.error_msgs]),
    ]
    if any(problems):
        raise ModelNotFoundError(
            f"{what}: not all weights of {type(model).__name__} are in its files, and random ones "
            f"would give random results. {'; '.join(filter(None, problems))}.{left_by(report.unexpected_keys)} "
            "Choose a checkpoint that has them, or the family that it was saved for."
        )
    spoilt = [name for name, weights in model.named_parameters() if name not in in_vain and not _is_finite(weights)]
    if spoilt:
        raise ModelNotFoundError(
            f"{what}: weights of {type(model).__name__} are NaN or infinite, and what it gives would be "
            f"too. {_listed('hold such numbers', spoilt)}. Save the model again, or download another copy."
        )
    for name in in_vain:
        model.get_parameter(name).data.fill_(float("nan"))


def _is_finite(weights: Any) -> bool:
    return weights.is_meta or not weights.is_floating_point() or bool(weights.isfinite().all())


def _from_adapter(model: Any, name: str) -> bool:
    """Tell whether an adapter brings a weight of its own in the place of one that its base model does not have."""
    module: Any = model
    for part in name.split(".")[:-1]:
        module = getattr(module, part, None)
        if hasattr(module, "modules_to_save"):
            return True
    return False


def _misplaced(model: Any, names: Iterable[str]) -> set[str]:
    """Of the weights that found no place, those of parts that the network has."""
    base = model.base_model
    parts = {name for name, _ in base.named_children()}
    modules = {name for name, _ in model.named_modules() if name}
    prefix = f"{model.base_model_prefix}."
    return {
        name
        for name in names
        if not BUFFERS.search(name)
        and (name.removeprefix(prefix).split(".")[0] in parts or name.rpartition(".")[0] in modules)
    }


def _listed(what: str, names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - SHOWN} more" if len(ordered) > SHOWN else ""
    return f"{len(ordered)} {what}: {', '.join(ordered[:SHOWN])}{more}" if ordered else ""


def left_by(names: Iterable[str]) -> str:
    """Return a sentence on the prefix that the names of weights have from what wrapped the network, if they have
    one.
    """
    patterns = {prefix: re.compile(rf"(?:^|\.){re.escape(prefix)}") for prefix in LEFT_BY}
    all_names = list(names)
    prefixes = [prefix for prefix, pattern in patterns.items() if any(map(pattern.search, all_names))]
    return "".join(f" The prefix {prefix!r} is left by {LEFT_BY[prefix]}." for prefix in prefixes)
