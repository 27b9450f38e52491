"""What a sentence-transformers checkpoint says of itself, read without loading it; and how one is loaded."""

import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalkit.compute import Compute
from evalkit.contracts import Setting
from evalkit.errors import ModelNotFoundError
from evalkit.models._loading import (
    complete_weights,
    left_by,
    refuse_adapter_without_peft,
    refuse_ids_beyond,
    refuse_tokens_beyond,
)
from evalkit.models._trust import untrusted_code
from evalkit.models.registry.folder import FAMILY_OF, read_json
from evalkit.models.weights import quiet_loading
from evalkit.terms import ROLES, SIMILARITIES, Role, Similarity

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"
LIBRARIES = ("sentence_transformers", "pylate")
"""Where a module's class must come from to be known by its name."""
ROUTERS = frozenset({"Router", "Asym"})
READS_TEXT = frozenset({"Transformer", "MLMTransformer"})
WORD_TABLES = frozenset({"BoW", "StaticEmbedding", "WordEmbeddings"})
WITHOUT_FILES = frozenset({"Normalize"})
"""Modules that may have nothing to save, and then no folder."""
EACH_TEXT_ALONE = frozenset(
    {"Dense", "Dropout", "LayerNorm", "MultiVectorMask", "Normalize", "Pooling", "SpladePooling"}
)
"""Modules whose outcome for a text does not depend on the padding, which batches of our own have less of."""
UNREADABLE = (
    OSError, EOFError, ValueError, TypeError, LookupError, RuntimeError, pickle.UnpicklingError, ImportError,
    AttributeError,
)  # fmt: skip
"""The libraries raise these for files that are not as they expect; safetensors has an error of its own."""
TASKS = ("feature-extraction", "fill-mask", "sequence-classification")
"""What a transformer is loaded for, where it reads a text once and writes nothing."""
TRANSFORMER_SETTINGS = "sentence_*_config.json"
"""Where a Transformer module keeps its own: sentence_bert_config.json, and older names."""
LENGTH_SAID_BY = "sentence_bert_config.json, tokenizer_config.json, config.json"
MODEL_TYPES = {"sbert": "SentenceTransformer", "splade": "SparseEncoder", "ce": "CrossEncoder"}
"""These families run models of one type only."""
WITHOUT_SCORE = ("Model", "ForMaskedLM", "ForPreTraining", "ForQuestionAnswering", "ForNextSentencePrediction")
"""Classes of transformers whose names end so have no head for the score of a pair."""
LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip
"""How checkpoints of before version 5.4 say which poolings they have."""


@dataclass(frozen=True)
class Module:
    """A step of a checkpoint: its class, where its files are, and what it is told beside the texts."""

    kind: str
    folder: Path
    arguments: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The class's name if a library brings it, else the whole path of a class of the checkpoint's own."""
        library, _, _ = self.kind.partition(".")
        return self.kind.rpartition(".")[2] if library in LIBRARIES else self.kind

    def settings(self, pattern: str = "config.json") -> dict[str, Any]:
        """Return the settings in the module's folder, of the first file with such a name; empty where there is
        none.
        """
        return next((_read_json(path, {}) for path in sorted(self.folder.glob(pattern))), {})


@dataclass(frozen=True)
class Checkpoint:
    """A folder's own settings: those of sentence-transformers, of its modules, and of transformers.

    As that library, it takes those of sentence-transformers only where modules.json says what the modules are.
    """

    folder: Path
    settings: Mapping[str, Any]
    modules: tuple[Module, ...]
    architectures: tuple[str, ...]
    is_static: bool = False
    """Whether model2vec saved it, and so that it is no network."""
    names_head: bool = False
    """Whether labels or code of the checkpoint's own are named, so that there may be a head that its class lacks."""

    @classmethod
    def read(cls, folder: Path) -> "Checkpoint":
        """Read the settings; what a folder does not have is empty.

        Raises ModelNotFoundError if they cannot be read, or name modules whose files are not there.
        """
        modules = tuple(_module(folder, entry) for entry in _read_json(folder / MODULES, []))
        config = _read_json(folder / "config.json", {})
        return cls(
            folder,
            _read_json(folder / SETTINGS, {}) if modules else {},
            modules,
            tuple(config.get("architectures") or ()),
            config.get("model_type") == "model2vec" and not modules,
            bool({"auto_map", "id2label"} & config.keys()),
        )

    @property
    def model_type(self) -> str | None:
        """The class of sentence-transformers that saved the checkpoint; None if none did."""
        return self.settings.get("model_type", "SentenceTransformer") if self.modules else None

    def for_family(self, family: str, name: str) -> "Checkpoint":
        """Itself. Raises ModelNotFoundError if the family does not run what the files say that it is.

        So it is for what another class saved, whose modules would be thrown away, and for a network without the head
        that the family reads: the library would give it an untrained one.
        """
        model_type = MODEL_TYPES.get(family)
        if model_type is not None and self.model_type not in (model_type, None):
            other = FAMILY_OF.get(str(self.model_type))
            raise ModelNotFoundError(
                f"{name!r} was saved as a {self.model_type}, not as a {model_type}, which would take its encoder and "
                "leave the rest of it out. " + (f"Use `{other}:{name}`." if other else "No family here runs it.")
            )
        if self.is_static:
            raise ModelNotFoundError(f"{name!r} is a table of static vectors (model2vec). Use `static:{name}`.")
        if family == "splade" and not self.modules and not self._ends_with("ForMaskedLM"):
            raise ModelNotFoundError(
                f"{name!r} is no sparse encoder: neither saved by sentence-transformers as one nor a masked language "
                "model. Choose a SPLADE checkpoint, or use `sbert:` or `bert:` for dense vectors."
            )
        if family == "ce" and not self.modules and not self.names_head and self._ends_with(*WITHOUT_SCORE):
            raise ModelNotFoundError(
                f"{name!r} is a {', '.join(self.architectures)}, and what a cross-encoder scores by is missing from "
                "the files: there is no classifier. Choose a checkpoint trained for ranking, or use `sbert:` or "
                "`bert:` for vectors."
            )
        return self

    def _ends_with(self, *kinds: str) -> bool:
        return any(kind.endswith(kinds) for kind in self.architectures)

    @property
    def similarity(self) -> Similarity | None:
        """The similarity that the checkpoint names, if it is one between two vectors."""
        return next((known for known in SIMILARITIES if known == self.settings.get("similarity_fn_name")), None)

    @property
    def truncate_dim(self) -> int | None:
        """The leading dimensions that the checkpoint keeps of a vector; None: all of them."""
        return self.settings.get("truncate_dim")

    def prompt(self, role: Role) -> str:
        """Return the checkpoint's prompt for this role."""
        return role_prompt(self.settings.get("prompts") or {}, self.settings.get("default_prompt_name"), role)

    @property
    def scales(self) -> bool:
        """Whether vectors are scaled to length 1 by the last module; of a router, by that of each route."""
        last = self.modules[-1:]
        if last and last[0].name in ROUTERS:
            last = tuple(route[-1] for route in self.routes(last[0]).values())
        of_texts = {"sentence_embedding"}
        return bool(last) and all(
            module.name == "Normalize" and of_texts.issuperset(module.settings().values()) for module in last
        )

    @property
    def pooling(self) -> str | None:
        """How token vectors become one, as the checkpoint says it; None where it has no such step."""
        routes = [module for module in self.modules if module.name in ROUTERS]
        ways = {
            route: ", ".join(filter(None, map(_pooling, modules)))
            for router in routes
            for route, modules in self.routes(router).items()
        }
        own = [way for way in map(_pooling, self.modules) if way]
        return ", ".join([*own, *(f"{way} ({route})" for route, way in ways.items() if way)]) or None

    def routes(self, router: Module) -> dict[str, tuple[Module, ...]]:
        """Return the modules of each route of a router."""
        told = router.settings("router_config.json") or router.settings()
        modules = {name: Module(kind, router.folder / name) for name, kind in told["types"].items()}
        return {route: tuple(modules[name] for name in names) for route, names in told["structure"].items()}

    def described(self) -> dict[str, Setting]:
        """Tell how sentence-transformers runs the checkpoint, by name, with the file that says so."""
        default = "lasttoken" if any(kind.endswith("ForCausalLM") for kind in self.architectures) else "mean"
        guess = (
            f"{self.folder.name} has no {MODULES}, so it is no sentence-transformers checkpoint: {default} pooling "
            "is a guess, and prompts are unknown. Say how it was trained (pooling=, query_prompt=), or use `bert:`."
        )
        modules = {
            "modules": Setting([module.name for module in self.modules], MODULES),
            "pooling": Setting(self.pooling, MODULES),
            "normalize": Setting(self.scales, MODULES),
        }
        told = {"similarity": self.similarity, "dim": self.truncate_dim} | {
            f"{role}_prompt": self.prompt(role) or None for role in ROLES
        }
        return (
            {f"{role}_prompt": Setting("", "default") for role in ROLES}
            | (modules if self.modules else {"pooling": Setting(default, "default", guess)})
            | {name: Setting(value, SETTINGS) for name, value in told.items() if value is not None}
        )

    @property
    def batched(self) -> bool:
        """Whether texts may be read in batches of our own, with our kernels: for all else the library is called.

        So it is with one transformer that reads plain text, and steps that treat each text alone; not with routes,
        chat templates, tables of words, or code of the checkpoint's own.
        """
        if not self.modules:
            return not self._shows_chats and not any(kind.endswith("ForCausalLM") for kind in self.architectures)
        first, *rest = self.modules
        told = first.settings(TRANSFORMER_SETTINGS)
        reads = told.get("modality_config", {"text": {"method": "forward"}})
        return (
            first.name in READS_TEXT
            and all(module.name in EACH_TEXT_ALONE for module in rest)
            and not any(module.arguments for module in self.modules)
            and reads.keys() == {"text"}
            and reads["text"].get("method") == "forward"
            and told.get("transformer_task", TASKS[0]) in TASKS
            and not told.get("processing_kwargs")
        )

    @property
    def is_word_table(self) -> bool:
        """Whether texts are looked up word by word, so that there may be nothing to read in one."""
        return bool(self.modules) and self.modules[0].name in WORD_TABLES

    @property
    def knows_roles(self) -> bool:
        """Whether one text can get different vectors as a query and as a document, beside the prompt."""
        told = self.modules[0].settings(TRANSFORMER_SETTINGS) if self.modules else {}
        return not self.batched or any(
            told.get(key) is not None for key in ("query_length", "document_length", "query_expansion")
        )

    @property
    def _shows_chats(self) -> bool:
        """Whether there is a template, or a processor of images or sounds, that texts would be laid out for."""
        files = ("chat_template.jinja", "chat_template.json", "processor_config.json", "preprocessor_config.json")
        told = _read_json(self.folder / "tokenizer_config.json", {})
        return any((self.folder / name).is_file() for name in files) or bool(told.get("chat_template"))

    def load(self, model_class: str, compute: Compute) -> Any:
        """Return the model, of a class of sentence-transformers; raises ModelNotFoundError if it cannot be read."""
        import sentence_transformers
        from sentence_transformers.base.modules import Transformer
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding

        with readable(self.folder, "model that sentence-transformers"):
            model = getattr(sentence_transformers, model_class)(
                str(self.folder),
                device=None if compute.device == "meta" else compute.device,  # the arguments say so
                local_files_only=True,
                trust_remote_code=compute.trust_remote_code,
                model_kwargs=model_arguments(compute),
            )
        self._refuse_untrained(model)
        for module in model.modules():
            if isinstance(module, Transformer):
                refuse_tokens_beyond(self.folder, module.tokenizer, module.auto_model)
            elif isinstance(module, StaticEmbedding):
                refuse_ids_beyond(self.folder, module.tokenizer.get_vocab(), module.embedding.num_embeddings)
        if (network := model.transformers_model) is not None:
            model.to(network.dtype)  # the library leaves what stands in routes as it was saved
        return ready(model, compute) if self.batched else model.eval()

    def _refuse_untrained(self, model: Any) -> None:
        """Raise ModelNotFoundError if the library has added a layer with weights that are in no file."""
        from sentence_transformers.base.modules import Transformer

        if "HF_ColBERT" in self.architectures:  # whose projection is beside the encoder's weights
            return
        for module in list(model)[len(self.modules) :]:
            if not isinstance(module, Transformer) and any(True for _ in module.parameters()):
                raise ModelNotFoundError(
                    f"{self.folder} was not saved as a {type(model).__name__}: it has no weights for the layer "
                    f"{type(module).__name__}, and random ones would give random results. Choose the family that "
                    "it was saved for."
                )


def role_prompt(prompts: Mapping[str, str], default_name: str | None, role: Role) -> str:
    """Tell what encode_query, encode_document and encode of sentence-transformers put before a text.

    A default prompt is only for the last: a model has a prompt for queries and one for documents, empty if it was
    saved with none, and so a prompt called `passage` or `corpus` is not read.
    """
    return prompts.get((default_name or "") if role == "sentence" else role) or ""


@contextmanager
def readable(folder: Path, reader: str) -> Iterator[None]:
    """Whatever says that there is no such model in a folder is a ModelNotFoundError; for its code, UntrustedError.

    Weights that the files do not hold are one too.
    """
    import torch
    from safetensors import SafetensorError

    refuse_adapter_without_peft(folder)
    try:
        with quiet_loading(), complete_weights(folder):
            yield
    except torch.OutOfMemoryError:
        raise
    except (*UNREADABLE, SafetensorError) as error:
        if isinstance(error, ValueError) and "trust_remote_code" in str(error):  # what both libraries tell to set
            raise untrusted_code(str(folder)) from error
        hint = left_by(re.findall(r'"([\w.]+)"', str(error)))
        raise ModelNotFoundError(f"{folder} holds no {reader} can read: {error}{hint}") from error


def model_arguments(compute: Compute) -> dict[str, Any]:
    """Tell how transformers is to load the weights: in the dtype asked for, and pickled ones if they are allowed
    only.
    """
    import torch

    # None: safetensors where there are any.
    how = {"dtype": getattr(torch, compute.dtype), "use_safetensors": None if compute.allow_pickle else True}
    return how | ({"device_map": "meta"} if compute.device == "meta" else {})


def ready(model: Any, compute: Compute) -> Any:
    """Return a model of sentence-transformers in evaluation mode, tuned for the device."""
    import torch

    from evalkit.models._kernels import tune_for_cpu, tune_for_gpu

    model.eval()
    if compute.device == "cpu":
        tune_for_cpu(model)
        # At each call the library asks all parameters where they are, and what is asked is laid out plainly again.
        model._resolve_inference_device = lambda device: torch.device("cpu")
    elif compute.device == "cuda":
        tune_for_gpu(model)
    return model


def _module(folder: Path, entry: Any) -> Module:
    """Read a module of modules.json. Raises ModelNotFoundError if it is none, or its files are not there."""
    told = entry if isinstance(entry, dict) else {}
    if not isinstance(told.get("type"), str) or not isinstance(told.get("path"), str):
        raise ModelNotFoundError(
            f"{folder / MODULES} does not say type and path of each module, as in {str(entry)[:80]!r}. Save the "
            "model again."
        )
    module = Module(told["type"], folder / told["path"], tuple(told.get("kwargs") or ()))
    known = module.name != module.kind and module.name not in WITHOUT_FILES
    if known and not (module.folder.is_dir() and any(module.folder.iterdir())):
        raise ModelNotFoundError(
            f"{folder / MODULES} names the module {told['path']!r} ({module.name}), and there is nothing in "
            f"{module.folder}. Download or copy the whole folder again."
        )
    return module


def _pooling(module: Module) -> str | None:
    if module.name == "SpladePooling":
        return f"SPLADE, {module.settings().get('pooling_strategy', 'max')}"
    if module.name != "Pooling":
        return None
    told = module.settings()
    ways = told.get("pooling_mode") or [way for key, way in LEGACY_POOLING.items() if told.get(key)] or "mean"
    return ways if isinstance(ways, str) else " + ".join(ways)


def _read_json(path: Path, default: Any) -> Any:
    return read_json(path, type(default)) if path.is_file() else default
