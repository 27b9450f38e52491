"""No random weights: what a checkpoint does not hold, or holds in vain, is an error that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.base.modules import Dense, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling
from sentence_transformers.sparse_encoder.modules import SparseAutoEncoder
from tiny_models import SIZES, MakeModel, tiny_tokenizer

from evalkit.compute import Compute
from evalkit.errors import ModelNotFoundError
from evalkit.models.registry import build, parse_spec

State = dict[str, torch.Tensor]
FAMILIES = {"bert": "bert", "sbert": "bert", "splade": "masked", "ce": "one-label", "maxsim": "bert"}


def use(family: str, folder: Path) -> np.ndarray:
    model = build(parse_spec(f"{family}:{folder}"), Compute())
    if hasattr(model, "encode"):
        vectors = model.encode(["a cat", "dog"], "sentence")
        return vectors.toarray() if hasattr(vectors, "toarray") else vectors
    return model.score(["a cat", "dog"], ["the cat", "zebras"])


def changed(folder: Path, to: Path, change: Callable[[State], State], part: str = "") -> Path:
    """A copy of a checkpoint with other weights in one of its files."""
    shutil.copytree(folder, to)
    file = to / part / "model.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in change(load_file(file)).items()}, file, {"format": "pt"})
    return to


def prefixed(prefix: str) -> Callable[[State], State]:
    return lambda state: {prefix + name: tensor for name, tensor in state.items()}


def without(part: str) -> Callable[[State], State]:
    return lambda state: {name: tensor for name, tensor in state.items() if part not in name}


def cut(part: str) -> Callable[[State], State]:
    return lambda state: {name: tensor[:-1] if part in name else tensor for name, tensor in state.items()}


def added(name: str, like: str) -> Callable[[State], State]:
    """One weight more, named after another: the prefix of the checkpoint's names is the same."""

    def change(state: State) -> State:
        model = next(own for own in state if own.endswith(like))
        return state | {model.removesuffix(like) + name: state[model].clone()}

    return change


QUERY = "layer.0.attention.self.query.weight"
FAULTS = {
    "missing": (without(QUERY), f"1 missing from the files: .*{QUERY}"),
    "misshapen": (cut(QUERY), rf"1 of another shape: .*{QUERY} \(15, 16\), not \(16, 16\)"),
    "unexpected": (added("layer.7.output.dense.weight", QUERY), r"1 unexpected: .*encoder\.layer\.7\.output"),
    "parallel": (prefixed("module."), r"missing from the files: .* and \d+ more.*'module\.' is left by Distrib"),
    "compiled": (prefixed("_orig_mod."), r"missing from the files: .*'_orig_mod\.' is left by torch\.compile"),
    "both": (prefixed("module._orig_mod."), r"'module\.' is left by .*'_orig_mod\.' is left by"),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("family", FAMILIES)
def test_weights_that_do_not_fit_are_an_error(family: str, fault: str, tiny: MakeModel, tmp_path: Path) -> None:
    change, message = FAULTS[fault]
    folder = changed(tiny(FAMILIES[family]), tmp_path / "model", change)
    with pytest.raises(ModelNotFoundError, match=message):
        use(family, folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_that_is_not_there_is_an_error(family: str, tiny: MakeModel, tmp_path: Path) -> None:
    """transformers makes one of special tokens alone, to which each word is unknown."""
    folder = shutil.copytree(tiny(FAMILIES[family]), tmp_path / "model")
    for file in [*folder.glob("tokenizer*"), *folder.glob("vocab*"), *folder.glob("special_tokens*")]:
        file.unlink()
    with pytest.raises(ModelNotFoundError, match=r"no files of a tokenizer|holds no"):
        use(family, folder)


def test_a_component_of_another_library_is_held_to_it_too(tiny: MakeModel, tmp_path: Path) -> None:
    folder = changed(tiny("one-label"), tmp_path / "model", without(QUERY))
    spec = f"llamaindex:llama_index.core.postprocessor.SentenceTransformerRerank?model={folder}"
    with pytest.raises(ModelNotFoundError, match=f"SentenceTransformerRerank: .*1 missing from the files: .*{QUERY}"):
        build(parse_spec(spec), Compute())


@pytest.mark.parametrize("kind", ["bert", "masked", "roberta", "mpnet"])
def test_a_cross_encoder_without_its_head_is_an_error(kind: str, tiny: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny(kind), tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "LABEL_0"}}))
    with pytest.raises(ModelNotFoundError, match=r"missing from the files: .*classifier\."):
        use("ce", folder)


@pytest.mark.parametrize("part", ["bert.pooler", "classifier.bias"])
def test_what_a_head_reads_must_be_there(part: str, tiny: MakeModel, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=f"missing from the files: .*{part}"):
        use("ce", changed(tiny("one-label"), tmp_path / "model", without(part)))


def a_checkpoint(folder: Path, model_class: type[transformers.PreTrainedModel], **settings: object) -> Path:
    """A random model of a class, as transformers saves it."""
    torch.manual_seed(0)
    kind = model_class.config_class
    model_class(kind(**{**SIZES, **settings})).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


T5 = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "decoder_start_token_id": 1}
EVERYDAY: list[tuple[str, type[transformers.PreTrainedModel], dict[str, object], str]] = [
    ("pre-training", transformers.BertForPreTraining, {}, "bert sbert"),
    ("masked", transformers.BertForMaskedLM, {}, "bert sbert splade maxsim"),
    ("roberta-masked", transformers.RobertaForMaskedLM, {"max_position_embeddings": 42}, "bert maxsim sbert splade"),
    ("next-sentence", transformers.BertForNextSentencePrediction, {}, "bert sbert"),
    ("classifier", transformers.BertForSequenceClassification, {}, "bert sbert"),
    ("answers", transformers.BertForQuestionAnswering, {}, "bert sbert"),
    ("distilbert", transformers.DistilBertForMaskedLM, {}, "bert sbert splade"),
    ("electra", transformers.ElectraForPreTraining, {}, "bert sbert"),
    ("albert", transformers.AlbertForMaskedLM, {"embedding_size": 8}, "bert sbert splade"),
    ("deberta", transformers.DebertaV2ForMaskedLM, {}, "bert sbert"),
    ("t5", transformers.T5ForConditionalGeneration, T5, "bert sbert"),
    ("t5-encoder", transformers.T5EncoderModel, T5, "bert sbert"),
    ("qwen", transformers.Qwen2ForCausalLM, {"num_key_value_heads": 1}, "bert sbert"),
    ("gpt2", transformers.GPT2LMHeadModel, {"n_embd": 16, "n_layer": 2, "n_head": 2}, "bert sbert"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model_class", "settings", "family"),
    [
        pytest.param(model_class, settings, family, id=f"{name}-{family}")
        for name, model_class, settings, families in EVERYDAY
        for family in families.split()
    ],
)
def test_heads_that_are_not_used_are_no_matter(
    model_class: type[transformers.PreTrainedModel], settings: dict[str, object], family: str, tmp_path: Path
) -> None:
    folder = a_checkpoint(tmp_path / "model", model_class, **settings)
    assert np.isfinite(use(family, folder)).all()


@pytest.mark.parametrize("family", ["bert", "sbert", "maxsim"])
def test_positions_of_old_checkpoints_are_no_matter(family: str, tiny: MakeModel, tmp_path: Path) -> None:
    ids = {"embeddings.position_ids": torch.arange(SIZES["max_position_embeddings"])[None]}
    folder = changed(tiny("bert"), tmp_path / "model", lambda state: state | ids)
    np.testing.assert_array_equal(use(family, folder), use(family, tiny("bert")))


@pytest.mark.parametrize("family", ["bert", "sbert", "maxsim"])
def test_a_pooler_that_nothing_reads_may_be_missing(family: str, tiny: MakeModel, tmp_path: Path) -> None:
    folder = changed(tiny("bert"), tmp_path / "model", without("pooler"))
    np.testing.assert_array_equal(use(family, folder), use(family, tiny("bert")))


def test_a_pooler_that_is_read_and_missing_gives_no_vectors(tiny: MakeModel, tmp_path: Path) -> None:
    """sentence-transformers can be told to take the pooler's output."""
    text = {"method": "forward", "method_output_name": "pooler_output"}
    module = Transformer(str(tiny("bert")), modality_config={"text": text}, module_output_name="sentence_embedding")
    SentenceTransformer(modules=[module], device="cpu").save(str(tmp_path / "whole"))
    assert np.isfinite(use("sbert", tmp_path / "whole")).all()
    folder = changed(tmp_path / "whole", tmp_path / "model", without("pooler"))
    assert np.isnan(use("sbert", folder)).all()


MODULES = {"Dense": Dense(16, 8), "LayerNorm": LayerNorm(16)}


@pytest.mark.parametrize("change", ["missing", "module.", "_orig_mod.", "no file"])
@pytest.mark.parametrize("module", MODULES)
def test_modules_of_sentence_transformers_too(module: str, change: str, tiny: MakeModel, tmp_path: Path) -> None:
    modules = [Transformer(str(tiny("bert"))), Pooling(16), MODULES[module]]
    SentenceTransformer(modules=modules, device="cpu").save(str(tmp_path / "whole"))
    how = without("bias") if change == "missing" else prefixed("" if change == "no file" else change)
    folder = changed(tmp_path / "whole", tmp_path / "model", how, f"2_{module}")
    if change == "no file":
        (folder / f"2_{module}" / "model.safetensors").unlink()
    hint = {"module.": "DistributedDataParallel", "_orig_mod.": "torch.compile", "no file": "model.safetensors"}
    with pytest.raises(ModelNotFoundError, match=hint.get(change, "Missing key.*bias")):
        use("sbert", folder)


def test_a_sparse_encoders_own_layer_too(tiny: MakeModel, tmp_path: Path) -> None:
    modules = [Transformer(str(tiny("bert"))), Pooling(16), SparseAutoEncoder(16, 64, k=4, k_aux=4)]
    SparseEncoder(modules=modules, device="cpu").save(str(tmp_path / "whole"))
    assert use("splade", tmp_path / "whole").any()
    folder = changed(tmp_path / "whole", tmp_path / "model", prefixed("module."), "2_SparseAutoEncoder")
    with pytest.raises(ModelNotFoundError, match=r"(?s)Missing key.*is left by Distributed"):
        use("splade", folder)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_file_that_ends_early_is_an_error(family: str, tiny: MakeModel, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny(FAMILIES[family]), tmp_path / "model")
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelNotFoundError, match="can read: "):
        use(family, folder)
