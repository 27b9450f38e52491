"""The options of each built-in family: their names, types and defaults. Unknown options are errors."""

from typing import Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PositiveInt,
    field_validator,
    model_validator,
)

from evalkit.compute import Dtype
from evalkit.terms import Similarity

Pooling = Literal["cls", "mean", "max"]
Precision = Literal["float32", "int8", "binary"]
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


class Options(BaseModel):
    """Base of all options: frozen, no unknown keys."""

    # Validators are built when a spec is first read, so that the command line answers at once.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ComponentOptions(Options):
    """Options of `llamaindex`: arguments of the component's class, as text."""

    model_config = ConfigDict(extra="allow")


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


class LexicalOptions(TermOptions):
    """Options of `bow` and `tfidf`."""

    ngrams: PositiveInt = Field(1, description="longest n-gram counted; 2 means single words and pairs")
    min_df: PositiveInt = Field(1, description="fewest texts a word must be in")
    similarity: Similarity = "cosine"


class TfidfOptions(LexicalOptions):
    """Options of `tfidf`."""

    sublinear_tf: bool = Field(False, description="1 + log(tf) in place of tf")


class Bm25Options(TermOptions):
    """Options of `bm25`: the usual free parameters (Robertson & Zaragoza 2009).

    `stop_words` are English unless they are given, or a tokenizer is.
    """

    k1: float = Field(1.5, ge=0, allow_inf_nan=False, description="saturation of term frequency")
    b: float = Field(0.75, ge=0, le=1, description="strength of length normalisation")


class PromptOptions(Options):
    """Options of families that read a prompt before each text."""

    query_prompt: str | None = Field(None, description="text put before each query")
    document_prompt: str | None = Field(None, description="text put before each document")
    sentence_prompt: str | None = Field(None, description="text put before each sentence of a symmetric task")


class DerivedOptions(Options):
    """Options of what is made of full vectors."""

    normalize: bool | None = Field(None, description="scale vectors to length 1; unset: as the model does")
    dim: PositiveInt | None = Field(
        None, description="leading dimensions kept (Matryoshka truncation); unset: as the model does"
    )
    precision: Precision = Field("float32", description="what vectors are quantised to")
    rescore: PositiveInt | None = Field(
        None, description="documents found at a low precision that are ranked anew by full vectors"
    )
    similarity: Similarity | None = Field(None, description="unset: the model's own, else cosine")

    @model_validator(mode="after")
    def _something_to_rescore(self) -> Self:
        if self.rescore is not None and self.precision == "float32":
            raise ValueError("rescore needs precision=int8 or binary: float32 vectors are full ones already")
        return self


class VectorOptions(PromptOptions, DerivedOptions):
    """Options of everything that gives dense vectors, local or behind an API."""


class DenseOptions(VectorOptions):
    """Options of dense families that read texts here."""

    max_length: PositiveInt | None = Field(None, description="tokens kept of each text")


class LsaOptions(TfidfOptions):
    """Options of `lsa`: TF-IDF, then truncated SVD (Deerwester et al. 1990)."""

    components: PositiveInt = Field(256, description="singular vectors kept")
    normalize: bool = Field(False, description="scale vectors to length 1")
    dim: PositiveInt | None = Field(None, description="leading dimensions kept")
    seed: int = Field(0, ge=0, lt=2**32, description="seed of the randomised SVD")


class WordOptions(DenseOptions):
    """Options of averages of pretrained word vectors."""

    weighting: Literal["mean", "idf", "sif"] = Field("mean", description="weight of each word in the average")


class TrainedWordOptions(WordOptions):
    """Options of word vectors trained on the task's corpus."""

    sg: int = Field(0, ge=0, le=1, description="1: skip-gram, 0: CBOW")
    size: PositiveInt = Field(100, description="dimensions of the vectors")
    window: PositiveInt = Field(5, description="words to each side")
    epochs: PositiveInt = Field(20, description="passes over the corpus")
    min_count: PositiveInt = Field(1, description="fewest occurrences of a word")
    seed: int = Field(0, ge=0, lt=2**32, description="seed; training is single-threaded, so it decides all")


class StaticOptions(DenseOptions):
    """Options of `static` (Model2Vec)."""

    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class TransformerOptions(StaticOptions):
    """Options of dense families that run a transformer."""

    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")


class BertOptions(TransformerOptions):
    """Options of `bert`: any transformers encoder."""

    pooling: Pooling = Field("mean", description="how token vectors become one")
    layer: int = Field(-1, description="hidden layer pooled: -1 the last, 0 the embeddings")


class SbertOptions(TransformerOptions):
    """Options of `sbert`: any sentence-transformers checkpoint."""

    pooling: Pooling | None = Field(None, description="replaces the checkpoint's pooling")


class RecurrentOptions(DenseOptions):
    """Options of dense families that run a recurrent network over words."""

    pooling: Literal["mean", "max"] = Field("mean", description="how word vectors become one")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")


class CoveOptions(RecurrentOptions):
    """Options of `cove`."""

    glove: bool = Field(True, description="[GloVe; CoVe] for each word; false: CoVe alone")


class ElmoOptions(RecurrentOptions):
    """Options of `elmo`."""

    layer: int | None = Field(
        None, description="layer pooled: 0 the character CNN, 1 and 2 the LSTMs, -1 the last; unset: the mean of all"
    )


class MtebOptions(DerivedOptions):
    """Options of `mteb`: all that concerns reading texts is as mteb's registry has it."""


class SpladeOptions(PromptOptions):
    """Options of `splade`: sparse encoders."""

    max_length: PositiveInt | None = Field(None, description="tokens kept of each text")
    similarity: Similarity | None = Field(None, description="unset: the model's own, else dot")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class PairOptions(Options):
    """Options of rerankers that run a transformer."""

    max_length: PositiveInt | None = Field(None, description="tokens kept; unset: what the model allows")
    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")
    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class ApiOptions(Options):
    """Options of every model behind an API. Keys are no options: they come from the environment."""

    api_base: HttpUrl | None = Field(None, description="URL of the API; unset: the provider's")
    timeout: PositiveInt = Field(60, description="seconds to wait for an answer")
    concurrency: PositiveInt = Field(4, description="requests under way at once")
    batch_size: PositiveInt | None = Field(
        None, description="texts in a request at most; unset: the provider's, and fewer where a server refuses that"
    )
    price: float | None = Field(None, ge=0, allow_inf_nan=False, description="USD per unit; unset: the catalogue's")

    @field_validator("api_base")
    @classmethod
    def _no_credentials(cls, url: HttpUrl | None) -> HttpUrl | None:
        if url is not None and (url.username or url.password or url.query):
            raise ValueError("a URL with a user, password or parameters; keys come from the environment")
        return url


class ApiEmbedderOptions(ApiOptions, VectorOptions):
    """Options of embedders behind an API. `dimensions` is paid for anew; `dim` cuts what was paid for once."""

    dimensions: PositiveInt | None = Field(None, description="dimensions asked of the API; unset: its default")


class CompatibleOptions(ApiEmbedderOptions):
    """Options of `openai-compatible`: any server that speaks OpenAI's embeddings API."""

    api_base: HttpUrl = Field(description="URL of the server, such as http://localhost:8000/v1")
    price: float = Field(0, ge=0, allow_inf_nan=False, description="USD per million tokens")
