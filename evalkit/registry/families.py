"""The families of models, as data: what each is called, can do, and needs installed.

Another package adds a family by an entry point in the group `evalkit.models` that loads a `Family`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from evalkit.errors import ConfigError
from evalkit.plugins import plugins
from evalkit.registry import options as opt

Kind = Literal["embedder", "retriever", "reranker"]
Unit = Literal["million tokens", "thousand searches"]
"""What a provider's price is for. A search is one query with up to 100 documents of up to 500 tokens."""
ENTRY_POINT_GROUP = "evalkit.models"


@dataclass(frozen=True)
class Family:
    """A family of models.

    `factory` is `module:callable`, imported when a model is built and called with (name, options, compute).
    `name_help` says what the NAME in FAMILY:NAME is; None means that the family takes no name. With `is_path` the
    NAME is a file or a folder here, or the word `train`.
    A family that `learns` has no weights: it learns from the task's corpus alone. The vectors of a `sparse` one are
    sparse, a dimension a word. Where `counts_words`, it finds what BM25 finds, so that a fusion of the two adds
    nothing. A paid API has its price by `unit`; a family that runs any model there is `may_charge` too, in units of
    its own.
    `facts` is `module:callable`, called with a name: what a registry of the family says of that model, by the names
    of
    `results.facts.ModelFacts`.
    `module` names the packages that must be installed, blanks between, by the extra `extra`. A family with `keys` is
    a paid API: one of these environment variables must hold its key. `check` is `module:callable` too, for a family
    whose models differ in kind: called with (name, options) before any model is loaded, it gives the kinds of this
    one, or raises SpecError.
    """

    name: str
    kinds: frozenset[Kind]
    options: type[opt.Options]
    factory: str
    summary: str
    name_help: str | None = None
    is_path: bool = False
    module: str | None = None
    extra: str | None = None
    check: str | None = None
    keys: tuple[str, ...] = ()
    learns: bool = False
    sparse: bool = False
    counts_words: bool = False
    unit: Unit | None = None
    may_charge: bool = False
    facts: str | None = None


def _family(name: str, kinds: str, options: type[opt.Options], factory: str, summary: str, **more: Any) -> Family:
    return Family(name, frozenset(kinds.split()), options, f"evalkit.models.{factory}", summary, **more)  # type: ignore[arg-type]


def _api(
    name: str,
    kind: str,
    options: type[opt.Options],
    module: str,
    keys: str,
    summary: str,
    unit: Unit = "million tokens",
) -> Family:
    more = {"module": module, "extra": "api", "keys": tuple(keys.split()), "name_help": "model of the provider"}
    return _family(name, kind, options, f"providers:{name.replace('-', '_')}", summary, unit=unit, **more)


HUB = "hub name or folder"
"""What NAME is in families whose weights are downloaded when they are first used."""
_TORCH = {"module": "transformers", "extra": "torch", "name_help": HUB}
_SENTENCE_TRANSFORMERS = {"module": "sentence_transformers", "extra": "torch", "name_help": HUB}
_WORDS = {"module": "gensim", "extra": "words", "is_path": True}

BUILT_IN = (
    _family(
        "bow", "embedder", opt.LexicalOptions, "lexical:BagOfWords", "bag of words, counts", learns=True,
        sparse=True, counts_words=True,
    ),
    _family(
        "tfidf", "embedder", opt.TfidfOptions, "lexical:Tfidf", "TF-IDF fitted on the task's corpus",
        learns=True, sparse=True, counts_words=True,
    ),
    _family("lsa", "embedder", opt.LsaOptions, "lexical:Lsa", "TF-IDF reduced by truncated SVD", learns=True),
    _family("bm25", "retriever reranker", opt.Bm25Options, "bm25:Bm25", "BM25 over the task's corpus", learns=True),
    _family(
        "glove", "embedder", opt.WordOptions, "words:load_glove",
        "average of word vectors in GloVe text format", name_help="file (.gz too)", **_WORDS,
    ),
    _family(
        "word2vec", "embedder", opt.TrainedWordOptions, "words:load_word2vec",
        "average of word2vec vectors, pretrained or trained on the corpus",
        name_help="file in text or binary format (.gz too), or 'train'", **_WORDS,
    ),
    _family(
        "fasttext", "embedder", opt.TrainedWordOptions, "words:load_fasttext",
        "average of fastText vectors, pretrained or trained on the corpus",
        name_help=".vec or .bin file (.gz too), or 'train'", **_WORDS,
    ),
    _family(
        "static", "embedder", opt.StaticOptions, "static:load_static",
        "Model2Vec static embeddings", name_help=HUB, module="model2vec", extra="words",
    ),
    _family(
        "cove", "embedder", opt.CoveOptions, "cove:load_cove", "context vectors (CoVe): a translation model's BiLSTM "
        "over GloVe", name_help="folder with wmtlstm-*.pth and glove*.txt", module="torch gensim", extra="recurrent",
        is_path=True,
    ),
    _family(
        "elmo", "embedder", opt.ElmoOptions, "elmo:load_elmo", "ELMo: a language model's character CNN and BiLSTMs",
        name_help="folder with *options.json and *.hdf5", module="torch h5py", extra="recurrent",
        is_path=True,
    ),
    _family("bert", "embedder", opt.BertOptions, "bert:load_bert", "any transformers encoder, pooled", **_TORCH),
    _family(
        "sbert", "embedder", opt.SbertOptions, "sbert:load_sbert", "any sentence-transformers model",
        **_SENTENCE_TRANSFORMERS,
    ),
    _family(
        "splade", "embedder", opt.SpladeOptions, "splade:load_splade",
        "learned sparse vectors (SPLADE), any SparseEncoder of sentence-transformers", sparse=True,
        **_SENTENCE_TRANSFORMERS,
    ),
    _family(
        "ce", "reranker", opt.PairOptions, "cross_encoder:load_cross_encoder",
        "cross-encoder: a transformers classifier, or any CrossEncoder of sentence-transformers",
        **_SENTENCE_TRANSFORMERS,
    ),
    _family(
        "maxsim", "retriever reranker", opt.PairOptions, "maxsim:load_maxsim",
        "late interaction over token vectors (MaxSim): a ColBERT checkpoint, or any encoder",
        **_SENTENCE_TRANSFORMERS,
    ),
    _family(
        "mteb", "embedder retriever reranker", opt.MtebOptions, "mteb:load_mteb", "any model of mteb's registry",
        name_help="name in the registry (`evalkit models mteb:` lists them)", module="mteb", extra="mteb",
        check="evalkit.mteb.registry:check_model", facts="evalkit.mteb.registry:model_facts", may_charge=True,
    ),
    _family(
        "llamaindex", "embedder reranker", opt.ComponentOptions, "llamaindex_class:load_component",
        "any LlamaIndex embedding or postprocessor; options are its class's arguments",
        name_help="module.Class", module="llama_index.core", extra="llamaindex",
        check="evalkit.models.llamaindex_class:check_component", may_charge=True,
    ),
    _api("openai", "embedder", opt.ApiEmbedderOptions, "openai", "OPENAI_API_KEY", "OpenAI's embeddings API"),
    _family(
        "openai-compatible", "embedder", opt.CompatibleOptions, "providers:openai_compatible",
        "any server with OpenAI's embeddings API (vLLM, text-embeddings-inference, Ollama); "
        "a key, if it needs one, in OPENAI_COMPATIBLE_API_KEY",
        name_help="model of the server", module="openai", extra="api", unit="million tokens",
    ),
    _api("cohere", "embedder", opt.ApiEmbedderOptions, "cohere", "COHERE_API_KEY CO_API_KEY", "Cohere's embed API"),
    _api("voyage", "embedder", opt.ApiEmbedderOptions, "voyageai", "VOYAGE_API_KEY", "Voyage's embeddings API"),
    _api("jina", "embedder", opt.ApiEmbedderOptions, "openai", "JINA_API_KEY", "Jina's embeddings API"),
    _api(
        "google", "embedder", opt.ApiEmbedderOptions, "google.genai", "GOOGLE_API_KEY GEMINI_API_KEY",
        "Google's Gemini embeddings API",
    ),
    _api(
        "cohere-rerank", "reranker", opt.ApiOptions, "cohere", "COHERE_API_KEY CO_API_KEY", "Cohere's rerank API",
        unit="thousand searches",
    ),
    _api("voyage-rerank", "reranker", opt.ApiOptions, "voyageai", "VOYAGE_API_KEY", "Voyage's rerank API"),
    _api("jina-rerank", "reranker", opt.ApiOptions, "openai", "JINA_API_KEY", "Jina's rerank API"),
)  # fmt: skip


@cache
def families() -> Mapping[str, Family]:
    """All families by name: the built-in ones, then those of installed packages.

    Raises ConfigError if an entry point cannot be imported, is no Family, or takes a name that is taken.
    """
    found = {family.name: family for family in BUILT_IN}
    for entry, family in plugins(ENTRY_POINT_GROUP, Family):
        if family.name in found:
            raise ConfigError(
                f"entry point {entry!r} adds a family {family.name!r}, which exists already; "
                "rename it or uninstall that package."
            )
        found[family.name] = family
    return found
