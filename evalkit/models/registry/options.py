"""The options of each built-in family: their names, types and defaults. Unknown options are errors."""

from collections.abc import Collection, Mapping
from typing import Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    PositiveInt,
    field_validator,
    model_validator,
)

from evalkit.compute import Compute, Dtype
from evalkit.contracts import Setting
from evalkit.terms import Similarity

Pooling = Literal["cls", "mean", "max"]
Precision = Literal["float32", "int8", "binary"]


class Options(BaseModel):
    """Base of all options: frozen, no unknown keys."""

    # Validators are built when a spec is first read, so that the command line answers at once.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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


class HubOptions(DenseOptions):
    """Options of dense families whose weights have revisions."""

    revision: str | None = Field(None, description="branch, tag or commit on the hub")


class TransformerOptions(HubOptions):
    """Options of dense families that run a transformer."""

    dtype: Dtype | None = Field(None, description="dtype of the computation; unset: the run's")


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


def dtype_setting(compute: Compute, option: Dtype | None) -> Setting:
    """Return the dtype that is computed in: the option's, else the run's."""
    return Setting(compute.dtype, "default" if option is None else "option")


def option_settings(options: Options, leave_out: Collection[str] = ()) -> Mapping[str, Setting]:
    """Return each option with its value, and whether the user gave it or it is the default; unset ones are left
    out.
    """
    return {
        name: Setting(value, "option" if name in options.model_fields_set else "default")
        for name, value in options.model_dump(mode="json").items()
        if value is not None and name not in leave_out
    }
