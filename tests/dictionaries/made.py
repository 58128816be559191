"""Shared by the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch

from autointerp.dictionaries.atoms import AtomSources
from autointerp.dictionaries.baselines import PCA, Neurons, RandomDirections
from autointerp.dictionaries.itda import ITDA
from autointerp.dictionaries.kinds import KINDS
from autointerp.dictionaries.matching import MatchingPursuit
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import SparseCode


def make(kind: str, d_in: int = 6, num_latents: int = 20, k: int = 4, seed: int = 0) -> Any:
    """A dictionary of random weights; `neurons` has as many latents as dimensions."""
    draw = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    normal = Normalization.scaled(randn(d_in), torch.rand(d_in, generator=draw) + 0.5)
    if kind == "random":
        return RandomDirections.draw(normal, num_latents, k, seed)
    if kind == "pca":
        return PCA.measure(randn(300, d_in) * torch.arange(1, d_in + 1) + 2, num_latents, k)
    if kind == "neurons":
        return Neurons.measure(randn(300, d_in) * 3 + 1, k)
    if kind == "itda":
        atoms = torch.nn.functional.normalize(randn(num_latents, d_in), dim=1)
        place = torch.randint(0, 3, (num_latents, 4), generator=draw)
        return ITDA(atoms, normal, k, "exact", AtomSources(("a", "b", "c"), place, torch.arange(num_latents)))
    own = {
        "jumprelu": {"threshold": torch.rand(num_latents, generator=draw)},
        "batchtopk": {"threshold": torch.tensor(0.7)},
        "gated": {"r_mag": 0.3 * randn(num_latents), "b_mag": 0.3 * randn(num_latents)},
    }.get(kind, {})
    if kind == "matching-pursuit":
        return MatchingPursuit(randn(num_latents, d_in) / d_in**0.5, randn(d_in), 0.01, k)
    four = randn(d_in, num_latents), 0.1 * randn(num_latents), randn(num_latents, d_in), randn(d_in)
    return KINDS[kind].load()(*four, k, **own)


def naive(dictionary: Any, x: torch.Tensor) -> torch.Tensor:
    """Dense activations float64 [n, num_latents] from the kind's own formula."""
    if dictionary.kind == "neurons":
        pre = ((x - dictionary.mean) / dictionary.std).double()
        return torch.where(pre >= pre.topk(dictionary.k).values[:, -1:], pre, 0).clamp_min(0)
    if dictionary.kind == "matching-pursuit":
        return torch.stack([pursued(row, dictionary) for row in (x - dictionary.b_dec).double()])
    linear = (x - dictionary.b_dec * (dictionary.kind != "transcoder")).double() @ dictionary.W_enc.double()
    pre = linear + dictionary.b_enc.double()
    if dictionary.kind in ("jumprelu", "batchtopk"):
        return pre * (pre > dictionary.threshold.double())
    if dictionary.kind == "relu":
        return pre.clamp_min(0)
    if dictionary.kind == "gated":
        magnitude = linear * dictionary.r_mag.double().exp() + dictionary.b_mag.double()
        return (pre > 0) * magnitude.clamp_min(0)
    return torch.where(pre >= pre.topk(dictionary.k).values[:, -1:], pre, 0).clamp_min(0)


def dense(code: SparseCode, num_latents: int) -> torch.Tensor:
    full = torch.zeros(len(code.latent_acts), num_latents, dtype=torch.float64)
    for n in range(len(full)):
        for act, index in zip(code.latent_acts[n].tolist(), code.latent_indices[n].tolist(), strict=True):
            full[n, index] += act
    return full


def check_code(code: SparseCode, n: int, k: int, num_latents: int) -> None:
    acts, indices = code
    assert acts.shape == indices.shape == (n, k)
    assert indices.dtype == torch.int64
    assert (acts >= 0).all()
    assert torch.isfinite(acts).all()
    assert (acts[:, :-1] >= acts[:, 1:]).all()
    assert ((indices >= 0) & (indices < num_latents)).all()
    assert (indices[acts == 0] == 0).all()
    for row, used in zip(indices, acts > 0, strict=True):
        assert len(set(row[used].tolist())) == int(used.sum())


def latents_of(kind: str) -> int:
    """How many latents `make` gives; a component has two sides, and a unit is itself."""
    return {"pca": 12, "neurons": 6}.get(kind, 20)


def pursued(row: torch.Tensor, dictionary: Any) -> torch.Tensor:
    """The code of one centred row, float64 [num_latents]: SAELens' matching pursuit, step by step."""
    rows, code = dictionary.W_dec.double(), torch.zeros(dictionary.num_latents, dtype=torch.float64)
    while True:
        support = code != 0
        fits = (rows @ row).relu()
        best = int(fits.argmax())
        code[best] += fits[best]
        row = row - fits[best] * rows[best]
        if torch.equal(support, code != 0) or row.norm() < dictionary.residual:
            return code
