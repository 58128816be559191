"""dictionary_learning (saprmarks): `ae.pt` beside `config.json`, a folder a trainer; each class has its own names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.configuration import Configuration, checked_count
from autointerp.dictionaries.formats.imported import (
    Imported,
    b_enc_subtracting_nothing,
    b_enc_without_b_dec,
    check_size,
    refuse,
    unit_decoder,
)
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK
from autointerp.errors import AutointerpError

NAME = "dictionary-learning"
WRITES = ("topk", "batchtopk", "jumprelu", "relu", "gated", "random", "pca")
"""Kinds that can be written exactly."""
_CLASSES = {
    "GatedAutoEncoder": ("decoder_bias", "encoder.weight", "r_mag", "gate_bias", "mag_bias", "decoder.weight"),
    "AutoEncoderNew": ("encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"),
    "AutoEncoder": ("bias", "encoder.weight", "encoder.bias", "decoder.weight"),
    "AutoEncoderTopK": ("b_dec", "encoder.weight", "encoder.bias", "decoder.weight"),
    "MatryoshkaBatchTopKSAE": ("group_sizes", "threshold", "W_enc", "b_enc", "W_dec", "b_dec"),
    "JumpReluAutoEncoder": ("threshold", "W_enc", "b_enc", "W_dec", "b_dec"),
}
"""Class -> the tensors that tell it; `BatchTopKSAE` has those of `AutoEncoderTopK`, so the configuration decides."""
_TRAINERS = {
    "TopKTrainer": "AutoEncoderTopK",
    "BatchTopKTrainer": "BatchTopKSAE",
    "MatryoshkaBatchTopKTrainer": "MatryoshkaBatchTopKSAE",
    "JumpReluTrainer": "JumpReluAutoEncoder",
    "StandardTrainer": "AutoEncoder",
    "StandardTrainerAprilUpdate": "AutoEncoder",
    "PAnnealTrainer": "AutoEncoder",
    "GatedSAETrainer": "GatedAutoEncoder",
    "GatedAnnealTrainer": "GatedAutoEncoder",
}
"""Trainer -> the class that it trains."""
_ALL = (*_CLASSES, "BatchTopKSAE")
_SAME_TENSORS = ("AutoEncoderTopK", "BatchTopKSAE")


def _find(source: Source) -> tuple[str, Tensors] | None:
    for name, keys in _CLASSES.items():
        if tensors := source.tensors(*keys):
            return name, tensors
    return None


def detect(source: Source) -> bool:
    """The tensors of one of its classes. JumpReLU's are those of SAELens, which has another configuration."""
    found = _find(source)
    return found is not None and (found[0] != "JumpReluAutoEncoder" or source.config("d_in", "d_sae") is None)


def read(source: Source, k: int | None = None) -> Imported:
    """Read any of its classes as `encode` uses them by default.

    TopK by its k; BatchTopK and Matryoshka by their threshold. A file that was saved in the midst of training, where
    `ae.pt` is a mapping with the weights under `ae`, is unwrapped, and its `norm_factor` folded.

    Raises:
        AutointerpError: As `Format.read`.
    """
    found = _find(source)
    if found is None:
        refuse(source, "no dictionary of dictionary_learning", f"known classes: {', '.join(_CLASSES)}, BatchTopKSAE")
    name, tensors = found
    notes: list[str] = []
    config = Configuration(source.asked, source.needed_config("trainer") or {}, notes)
    trainer = Configuration(source.asked, config.mapping("trainer"), notes)
    if tensors.inside == "ae":
        notes.append(f"{tensors.path.name} was saved in the midst of training: its 'ae' is taken")
    if not trainer.values:
        trainer.values = _mapping(tensors.beside.get("config"))
    name = _class(source, name, tensors, trainer)
    io = Configuration(source.asked, config.mapping("buffer"), notes).word("io", "out")
    if io not in ("out", "output", "in"):
        refuse(source, f"its buffer read a module's {io!r}: a transcoder cannot be imported", "import an autoencoder")
    sae = _read(source, name, tensors, trainer, k, notes)
    factor = Configuration(source.asked, tensors.beside, notes).number("norm_factor")
    if factor not in (None, 1.0):
        sae = _scaled(sae, factor)
        notes.append(f"norm_factor {factor:.6g}: folded")
    own = config.mapping("autointerp")
    if io == "in":
        notes.append("its buffer read a module's 'in', not its output")
    hookpoint = own.get("hookpoint") or trainer["submodule_name"] or None
    return Imported(sae, hookpoint, own.get("signal"), own.get("model") or trainer["lm_name"], tuple(notes), own)


def check_told(source: Source) -> None:
    """Refuse tensors that SAELens writes too, where no configuration says which of the two wrote them.

    Raises:
        AutointerpError: The encoders differ in what they do with `b_dec`.
    """
    found = _find(source)
    if found is None or found[0] != "JumpReluAutoEncoder" or "config" in found[1].beside:
        return
    if source.needed_config("trainer") is None:
        raise AutointerpError(
            f"{source.asked} has no configuration that says whether b_dec is subtracted before encoding: "
            "SAELens and dictionary_learning write these tensors alike and differ in it",
            f"put the cfg.json or config.json of the tool beside it; or --format {NAME}, if that wrote it",
        )


def _class(source: Source, name: str, tensors: Tensors, trainer: Configuration) -> str:
    """The class of the weights: what the configuration says, checked against the tensors that `name` was told by."""
    notes = trainer.notes
    written = trainer.word("dict_class", "")
    said = (re.findall(r"\w+", written) or [""])[-1]  # Of "<class 'dictionary_learning...BatchTopKSAE'>" too.
    if written and said != written:
        notes.append(f"dict_class is written {written!r}: read as {said}")
    trained_by = trainer.word("trainer_class", "")
    if not said and trained_by in _TRAINERS:
        said = _TRAINERS[trained_by]
        notes.append(f"dict_class is not said: {said}, which {trained_by} trains")
    if said and said not in _ALL:
        refuse(source, f"dict_class {written!r} is not known", f"known: {', '.join(_ALL)}")
    if said in _SAME_TENSORS and name in _SAME_TENSORS:
        return said
    if said and said != name:
        refuse(source, f"dict_class is {said}, but the tensors are those of {name}", "fetch both again")
    if not said and name in _SAME_TENSORS and "threshold" in tensors:
        refuse(
            source,
            "no dict_class says whether it encodes by top-k (AutoEncoderTopK) or by its threshold (BatchTopKSAE)",
            'put a config.json with {"trainer": {"dict_class": "..."}} beside it',
        )
    if not said:
        notes.append(f"no configuration names the class: read as {name}, by the names of its tensors")
    return name


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _read(source: Source, name: str, tensors: Tensors, trainer: Configuration, k: int | None, notes: list[str]) -> SAE:
    if name in ("MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"):
        d_in, n = tensors.matrix("W_enc")
        W_enc, W_dec = tensors.take("W_enc", d_in, n), tensors.take("W_dec", n, d_in)
        b_enc, b_dec = tensors.take("b_enc", n), tensors.take("b_dec", d_in)
    else:
        n, d_in = tensors.matrix("encoder.weight")
        W_enc = tensors.take("encoder.weight", n, d_in).T.contiguous()
        W_dec = tensors.take("decoder.weight", d_in, n).T.contiguous()
        biases = {
            "GatedAutoEncoder": ("gate_bias", "decoder_bias"),
            "AutoEncoder": ("encoder.bias", "bias"),
            "AutoEncoderNew": ("encoder.bias", "decoder.bias"),
        }.get(name, ("encoder.bias", "b_dec"))
        b_enc, b_dec = tensors.take(biases[0], n), tensors.take(biases[1], d_in)
    check_size(
        source, tensors, {"dict_size": (trainer["dict_size"], n), "activation_dim": (trainer["activation_dim"], d_in)}
    )
    stored = checked_count(source.asked, "k", tensors.number("k") if "k" in tensors else trainer["k"])
    if name == "AutoEncoderTopK":
        if stored is not None and trainer["k"] not in (None, stored):
            notes.append(f"k {stored}, of the weights; the configuration says {trainer['k']}")
        return TopK(W_enc, b_enc, W_dec, b_dec, trainer.needed_k(stored, k, n))
    if name in ("BatchTopKSAE", "MatryoshkaBatchTopKSAE"):
        threshold = tensors.number("threshold") if "threshold" in tensors else -1.0
        if threshold < 0:
            notes.append("its threshold was never set: every positive code fires, as in dictionary_learning")
        return BatchTopK(W_enc, b_enc, W_dec, b_dec, stored, torch.tensor(max(threshold, 0.0)))
    if name == "GatedAutoEncoder":
        r_mag, b_mag = tensors.take("r_mag", n), tensors.take("mag_bias", n)
        return Gated(W_enc, b_enc, W_dec, b_dec, stored, r_mag=r_mag, b_mag=b_mag)
    if name == "AutoEncoder":
        norms = W_dec.norm(dim=1)
        if not torch.allclose(norms, torch.ones_like(norms)):
            W_enc, b_enc, W_dec = unit_decoder(W_enc, b_enc, W_dec)
            notes.append("decoder rows are scaled to length 1 and latents the other way, as from_pretrained does")
        return ReLU(W_enc, b_enc, W_dec, b_dec, stored)
    b_enc = b_enc_without_b_dec(W_enc, b_enc, b_dec)
    if name == "AutoEncoderNew":
        return ReLU(W_enc, b_enc, W_dec, b_dec, stored)
    return JumpReLU(W_enc, b_enc, W_dec, b_dec, stored, tensors.take("threshold", n))


def _scaled(sae: SAE, factor: float) -> SAE:
    """The same for activations that were divided by `factor` in training, as its `scale_biases` does it."""
    sae.b_enc, sae.b_dec = sae.b_enc * factor, sae.b_dec * factor
    if isinstance(sae, JumpReLU):
        sae.threshold = sae.threshold * factor
    if isinstance(sae, Gated):
        sae.b_mag = sae.b_mag * factor
    return sae


def write(dictionary: Dictionary, out: Path, provenance: dict[str, Any]) -> None:
    """Write `ae.pt` and `config.json`, which its `load_dictionary` and `from_pretrained` read.

    ReLU is written as `AutoEncoderNew`: `AutoEncoder.from_pretrained` would scale the latents.
    """
    assert isinstance(dictionary, SAE)
    W_enc, b_enc, W_dec, b_dec = dictionary.W_enc, dictionary.b_enc, dictionary.W_dec, dictionary.b_dec
    linear = {"encoder.weight": W_enc.T, "decoder.weight": W_dec.T}
    # Its classes want a k, whether or not they use it.
    k = torch.tensor(dictionary.k or 1, dtype=torch.int32)
    if isinstance(dictionary, TopK):
        name = "AutoEncoderTopK"
        tensors = {**linear, "encoder.bias": b_enc, "b_dec": b_dec, "k": k, "threshold": torch.tensor(-1.0)}
    elif isinstance(dictionary, BatchTopK):
        name = "BatchTopKSAE"
        threshold = dictionary.threshold.detach().reshape(()).float()
        tensors = {**linear, "encoder.bias": b_enc, "b_dec": b_dec, "k": k, "threshold": threshold}
    elif isinstance(dictionary, JumpReLU):
        name, b_enc = "JumpReluAutoEncoder", b_enc_subtracting_nothing(W_enc, b_enc, b_dec)
        tensors = {"W_enc": W_enc, "b_enc": b_enc, "W_dec": W_dec, "b_dec": b_dec, "threshold": dictionary.threshold}
    elif isinstance(dictionary, Gated):
        name = "GatedAutoEncoder"
        gate = {"gate_bias": b_enc, "mag_bias": dictionary.b_mag, "r_mag": dictionary.r_mag}
        tensors = {**linear, **gate, "decoder_bias": b_dec}
    else:
        name, b_enc = "AutoEncoderNew", b_enc_subtracting_nothing(W_enc, b_enc, b_dec)
        tensors = {**linear, "encoder.bias": b_enc, "decoder.bias": b_dec}
    trainer = {
        "dict_class": name,
        "trainer_class": "autointerp",
        "activation_dim": dictionary.d_in,
        "dict_size": dictionary.num_latents,
        "k": int(k),
        "layer": provenance.get("layer"),
        "lm_name": provenance.get("model"),
        "submodule_name": provenance.get("hookpoint"),
    }
    own = {**provenance, "kind": dictionary.kind, "k": dictionary.k}
    torch.save({key: t.detach().cpu().contiguous() for key, t in tensors.items()}, out / "ae.pt")
    text = json.dumps({"trainer": trainer, "buffer": {}, "autointerp": own}, indent=2)
    (out / "config.json").write_text(text + "\n", encoding="utf-8")
