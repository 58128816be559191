"""overcomplete: a `state_dict` of one of its SAEs. It has no checkpoint format; pickled models are refused.

A state_dict does not hold everything: neither k nor how the dictionary is normalised. What is assumed is its default.
"""

from __future__ import annotations

import torch

from autointerp.dictionaries.formats.configuration import checked_count
from autointerp.dictionaries.formats.imported import Imported, refuse
from autointerp.dictionaries.formats.source import Source, Tensors
from autointerp.dictionaries.sae import SAE, JumpReLU, ReLU, TopK

NAME = "overcomplete"
_LAST = "encoder.final_block"
_EPS = 1e-5
"""That of torch's batch normalisation."""
_DELTA = 1.0
"""Default of how far a relaxed archetype may leave the hull."""


def detect(source: Source) -> bool:
    """The tensors of a dictionary layer."""
    return source.tensors("dictionary._weights") is not None or source.tensors("dictionary.C") is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read a TopKSAE (give k), JumpSAE, or plain SAE (give k as the number of latents) in evaluation mode.

    Batch normalisation after a linear encoder is folded; other encoders are refused.

    Raises:
        AutointerpError: As `Format.read`.
    """
    tensors = source.tensors("dictionary._weights") or source.tensors("dictionary.C")
    if tensors is None:
        refuse(source, "no state_dict of overcomplete", "it has dictionary._weights or dictionary.C")
    notes: list[str] = []
    W_dec = _dictionary(tensors, notes)
    n, d_in = W_dec.shape
    if "Q" in tensors:
        refuse(source, "a quantised SAE (QSAE) cannot be imported", "import a TopKSAE or a JumpSAE")
    W_enc, b_enc = _encoder(source, tensors, W_dec, notes)
    four = (W_enc, b_enc, W_dec, torch.zeros(d_in))
    sae: SAE
    if "thresholds" in tensors:
        notes.append("it has thresholds: read as a JumpSAE, whose latents fire above exp(thresholds)")
        sae = JumpReLU(*four, checked_count(source.asked, "k", k, n), tensors.take("thresholds", n).exp())
    elif k is None:
        refuse(
            source,
            "a state_dict of overcomplete does not hold its k",
            f"give the top_k it was made with by -k, or -k {n} for a plain SAE",
        )
    else:
        checked_count(source.asked, "k", k, n)
        notes.append(f"k {k} is yours; the files do not hold it")
        notes.append("read as a TopKSAE" if k < n else "read as a plain SAE, whose every positive latent fires")
        sae = TopK(*four, k) if k < n else ReLU(*four, None)
    return Imported(sae, notes=tuple(notes))


def _dictionary(tensors: Tensors, notes: list[str]) -> torch.Tensor:
    """The rows that evaluation mode uses."""
    scale = torch.tensor(tensors.number("dictionary.multiplier")).exp() if "dictionary.multiplier" in tensors else 1.0
    if "dictionary._weights" in tensors:
        n, d_in = tensors.matrix("dictionary._weights")
        weights = tensors.take("dictionary._weights", n, d_in)
        notes.append("dictionary rows are scaled to length 1, its default ('l2')")
        return weights / (weights.norm(dim=1, keepdim=True) + 1e-8) * scale
    points, d_in = tensors.matrix("dictionary.C")
    n, _ = tensors.matrix("dictionary.W")
    mix = tensors.take("dictionary.W", n, points).relu()
    relax = tensors.take("dictionary.Relax", n, d_in)
    notes.append(f"archetypes may leave the hull by {_DELTA:g}, its default delta")
    relax = relax * (_DELTA / relax.norm(dim=1, keepdim=True)).clamp_max(1).nan_to_num(1.0)
    return (mix / (mix.sum(1, keepdim=True) + 1e-8) @ tensors.take("dictionary.C", points, d_in) + relax) * scale


def _encoder(
    source: Source, tensors: Tensors, W_dec: torch.Tensor, notes: list[str]
) -> tuple[torch.Tensor, torch.Tensor]:
    """`W_enc` [d, n] and `b_enc` [n] of a linear encoder, with the batch normalisation after it."""
    n, d_in = W_dec.shape
    encoder = [name for name in tensors.found if name.startswith("encoder.")]
    if f"{_LAST}.0.weight" not in tensors:
        if "encoder.weight" in tensors:  # `untied()`
            bias = tensors.take("encoder.bias", n) if "encoder.bias" in tensors else torch.zeros(n)
            return tensors.take("encoder.weight", n, d_in).T.contiguous(), bias
        what = "its encoder is no linear one" if encoder else "it has no encoder (MpSAE, OMPSAE or a tied one)"
        refuse(source, f"{what}, which cannot be imported", "import an SAE with the encoder 'linear' or 'mlp_bn_1'")
    if any(name.startswith("encoder.mlp_blocks") for name in encoder):
        refuse(source, "an encoder of several layers cannot be imported", "import one with the encoder 'linear'")
    W, b = tensors.take(f"{_LAST}.0.weight", n, d_in), tensors.take(f"{_LAST}.0.bias", n)
    if f"{_LAST}.1.running_mean" in tensors:
        mean, var = tensors.take(f"{_LAST}.1.running_mean", n), tensors.take(f"{_LAST}.1.running_var", n)
        gain, shift = tensors.take(f"{_LAST}.1.weight", n), tensors.take(f"{_LAST}.1.bias", n)
        factor = gain / (var + _EPS).sqrt()
        W, b = W * factor[:, None], (b - mean) * factor + shift
        notes.append("batch normalisation of the encoder: folded, with its running figures")
    elif f"{_LAST}.1.weight" in tensors:
        refuse(
            source,
            "its encoder normalises each row by its own size, which no fixed weights can do",
            "import one with the encoder 'linear' or 'mlp_bn_1'",
        )
    return W.T.contiguous(), b
