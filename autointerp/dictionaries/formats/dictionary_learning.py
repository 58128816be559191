"""dictionary_learning (saprmarks): `ae.pt` beside `config.json`, a folder a trainer; each class has its own names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.imported import (
    Imported,
    b_enc_subtracting_nothing,
    b_enc_without_b_dec,
    needed_int,
    refuse,
    unit_decoder,
)
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.protocol import Dictionary
from autointerp.dictionaries.sae import SAE, BatchTopK, Gated, JumpReLU, ReLU, TopK

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
    config = source.config("trainer") or {}
    trainer = config.get("trainer") or {}
    notes: list[str] = []
    if tensors.inside:
        notes.append(f"{tensors.path.name} was saved in the midst of training: its {tensors.inside!r} is taken")
        trainer = trainer or _mapping(tensors.beside.get("config"))
    said = trainer.get("dict_class")
    if name == "AutoEncoderTopK" and said == "BatchTopKSAE":
        name = "BatchTopKSAE"
    elif name == "AutoEncoderTopK" and said is None:
        notes.append("no config.json that names the class: read as AutoEncoderTopK, by top-k")
    sae = _read(source, name, tensors, trainer, k, notes)
    factor = tensors.beside.get("norm_factor")
    if isinstance(factor, int | float) and factor != 1:
        sae = _scaled(sae, float(factor))
        notes.append(f"norm_factor {factor:.6g}: folded")
    own: dict[str, Any] = config.get("autointerp") or {}
    io = _mapping(config.get("buffer")).get("io", "out")
    if io not in ("out", "output"):
        notes.append(f"its buffer read a module's {io!r}, not its output")
    hookpoint = own.get("hookpoint") or trainer.get("submodule_name") or None
    return Imported(sae, hookpoint, own.get("signal"), own.get("model") or trainer.get("lm_name"), tuple(notes), own)


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _read(source: Source, name: str, tensors: Tensors, trainer: dict[str, Any], k: int | None, notes: list[str]) -> SAE:
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
    stored = int(tensors.number("k")) if "k" in tensors else trainer.get("k")
    if name == "AutoEncoderTopK":
        return TopK(W_enc, b_enc, W_dec, b_dec, needed_int(source, stored, "k", k))
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
