"""`nev/flux1-saes`, the autoencoders of arXiv 2505.24360: Orbax checkpoints of arrays and of their normalisation.

Activations are whitened, standardised and clipped to 10 deviations before they are encoded, and the k largest latents
are kept, negative ones too. All but the clip and the negative latents is folded into the weights.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch

from autointerp.dictionaries.formats.imported import Imported, refuse
from autointerp.dictionaries.formats.source import Source
from autointerp.dictionaries.formats.tensors import Tensors
from autointerp.dictionaries.sae import TopK

NAME = "flux1-saes"
_NAMES = ("W_enc", "W_dec", "b_pre", "b_post")
_K = 64
_FOLDER = re.compile(r"^sae_(double|single)_l(\d+)_(img|txt)$")
_STACKS = {"double": "transformer.transformer_blocks", "single": "transformer.single_transformer_blocks"}
_EPS = 1e-8


def detect(source: Source) -> bool:
    """An encoder and a decoder with a bias before and a bias after."""
    return source.tensors(*_NAMES) is not None


def read(source: Source, k: int | None = None) -> Imported:
    """Read `topk(((x W - mean) / std - b_post + b_pre) W_enc)`, rebuilt by the inverse of what stands before W_enc.

    Raises:
        AutointerpError: As `Format.read`; an array of the normalisation is missing, or cannot be inverted.
    """
    tensors = source.tensors(*_NAMES)
    if tensors is None:
        refuse(source, "no SAE of nev/flux1-saes", f"it has {', '.join(_NAMES)}")
    notes = [
        "inputs are not clipped at 10 standard deviations, as where it was made: no fixed weights do that",
        "latents that are negative do not fire; where it was made, they fill up a code of fewer positive ones",
    ]
    d_in, n = tensors.matrix("W_enc")
    W_enc, W_dec = tensors.take("W_enc", d_in, n).double(), tensors.take("W_dec", n, d_in).double()
    b_pre, b_post = (tensors.take(name, d_in).double() for name in ("b_pre", "b_post"))
    mean, std, into = _normalization(source, tensors, d_in)
    try:
        back = torch.linalg.inv(into)
    except torch.linalg.LinAlgError:
        refuse(source, "its whitening_matrix cannot be inverted", "fetch it again")
    if k is None:
        notes.append(f"k {_K}, as the paper's: the files do not say it")
    W_raw, b_raw = (into / std) @ W_enc, (b_post * std + mean) @ back
    # What is subtracted, b_raw, leads to b_post there, so that b_pre alone is left in the bias.
    four = [t.float().contiguous() for t in (W_raw, b_pre @ W_enc, (W_dec * std) @ back, b_raw)]
    sae = TopK(four[0], four[1], four[2], four[3], min(k or _K, n))
    named = next((found for part in source.parts if (found := _FOLDER.match(part))), None)
    if named is None:
        return Imported(sae, signal="output", notes=tuple(notes))
    stack, number, stream = named.groups()
    provenance = {"stream": "text" if stream == "txt" else "image"}
    return Imported(sae, f"{_STACKS[stack]}.{number}", "output", notes=tuple(notes), provenance=provenance)


def _normalization(source: Source, tensors: Tensors, d_in: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean [d_in], standard deviation [d_in] and whitening matrix [d_in, d_in], float64."""
    info = tensors.beside.get("info")
    if not isinstance(info, Mapping):
        refuse(source, "no info with feature_means lies beside its weights", "fetch the whole checkpoint")
    found = Tensors(tensors.path, {str(name): value for name, value in info.items() if isinstance(value, torch.Tensor)})
    mean, square = (found.take(name, d_in).double() for name in ("feature_means", "feature_square_means"))
    std = (square - mean.square()).clamp_min(0).sqrt().clamp_min(_EPS)
    return mean, std, found.take("whitening_matrix", d_in, d_in).double()
