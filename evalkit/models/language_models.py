"""Language models that write questions, by name; and networks that make questions of passages, doc2query's kind."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.compute import choose_compute
from evalkit.errors import ModelNotFoundError, OptionalDependencyError, SpecError
from evalkit.models._loading import complete_weights
from evalkit.models._trust import guarded
from evalkit.models.registry.spec import refuse_secrets
from evalkit.models.weights import locate, quiet_loading, weights_hash

if TYPE_CHECKING:
    from llama_index.core.llms import LLM

AUTO, SEQ2SEQ, LLAMAINDEX = "auto", "seq2seq", "llamaindex"
LONGEST = 512
"""Tokens of a passage that are read where a network sets no limit; doc2query was trained with as many."""
QUESTION = 64
"""Tokens of a question."""
BEAMS = 4


def load_llm(text: str) -> "LLM | Seq2Seq":
    """Return the language model that a text names.

    `auto` is one of a server on this machine (see `served_llm.find_llm`), `seq2seq:PATH` a network that makes
    questions of passages, and `llamaindex:module.Class?argument=value` any of LlamaIndex. Raises SpecError for
    anything else, OptionalDependencyError without the package it needs, and ModelNotFoundError if there is none.
    """
    refuse_secrets(text)
    text = text.strip()
    prefix, _, name = text.partition(":")
    if prefix == SEQ2SEQ and name:
        return Seq2Seq(name)
    if text != AUTO and not (prefix == LLAMAINDEX and name):
        raise SpecError(
            f"{text!r} names no language model. Write auto, for one of a server on this machine; seq2seq:PATH; or "
            "llamaindex:MODULE.CLASS?argument=value, such as "
            "'llamaindex:llama_index.llms.ollama.Ollama?model=llama3.1'."
        )
    try:
        import llama_index.core.llms  # noqa: F401
    except ModuleNotFoundError:
        raise OptionalDependencyError("a language model", "llama_index.core", "pick") from None
    from evalkit.models.llamaindex_class import make_llm
    from evalkit.models.served_llm import find_llm

    return find_llm() if text == AUTO else make_llm(name)


class Seq2Seq:
    """A network that reads a passage and writes what is asked about it: Nogueira and Lin 2019, "From doc2query to
    docTTTTTquery".

    It is a checkpoint of transformers (AutoModelForSeq2SeqLM), from a folder or the hub's cache.
    Questions are found by beam search, which draws nothing: they are the network's likeliest ones, and the same on
    every run. Raises ModelNotFoundError, UntrustedError and OptionalDependencyError.
    """

    def __init__(self, name: str) -> None:
        try:
            import transformers
        except ModuleNotFoundError:
            raise OptionalDependencyError("seq2seq", "transformers", "torch") from None
        compute = choose_compute()
        folder = locate(name)
        with guarded(compute, name), complete_weights(name), quiet_loading():
            try:
                self._tokenizer: Any = transformers.AutoTokenizer.from_pretrained(str(folder))
                network: Any = transformers.AutoModelForSeq2SeqLM.from_pretrained(str(folder))
            except ValueError as error:  # the network is of another kind
                raise ModelNotFoundError(
                    f"{name} cannot be loaded as a network that reads a text and writes one (T5, BART and their "
                    f"kind): {str(error).splitlines()[0][:300]}"
                ) from None
        self._network = network.to(compute.device).eval()
        self.name = Path(name).name
        self.identity = {"class": "seq2seq", "weights": weights_hash(folder), "beams": BEAMS}
        limits = (self._tokenizer.model_max_length, getattr(network.config, "max_position_embeddings", None))
        self.longest = min(LONGEST, *filter(None, limits))

    def read(self, passage: str) -> int:
        """Return how many characters of a passage the network reads, from its start."""
        if not self._tokenizer.is_fast:
            return len(passage)
        offsets = self._tokenizer(passage, truncation=True, max_length=self.longest, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        return max((int(end) for _, end in offsets), default=0)

    def ask(self, passage: str, count: int) -> list[str]:
        """Return at most `count` different questions on a passage, the likeliest first."""
        import torch

        tokens = self._tokenizer(passage, truncation=True, max_length=self.longest, return_tensors="pt")
        with torch.inference_mode():
            found = self._network.generate(
                **tokens.to(self._network.device),
                num_beams=max(BEAMS, count),
                num_return_sequences=count,
                do_sample=False,
                max_new_tokens=QUESTION,
            )
        texts = [" ".join(text.split()) for text in self._tokenizer.batch_decode(found, skip_special_tokens=True)]
        return list(dict.fromkeys(filter(None, texts)))
