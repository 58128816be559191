"""Baselines that go through the same path as a fitted dictionary: what a figure is worth is what it beats."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.sparse import select_topk


class RandomDirections(TopK):
    """Random unit directions in normalised space, read out by inner product, the k largest kept.

    Nothing is fitted but the normalisation, so what these features are about is what any projection of the layer
    would be about. `num_latents` may exceed `d_in`.
    """

    kind = "random"

    @classmethod
    def draw(cls, normalization: Normalization, num_latents: int, k: int, seed: int) -> RandomDirections:
        """Draw `num_latents` directions for a layer whose `normalization` was measured."""
        d_in = len(normalization.mean)
        # A stream of its own: with the seed alone these would be the directions that an SAE of that seed starts from.
        draw = torch.Generator().manual_seed((seed << 20) + 17)
        directions = torch.nn.functional.normalize(torch.randn(num_latents, d_in, generator=draw), dim=1)
        folded = normalization.fold(directions.T, torch.zeros(num_latents), directions, torch.zeros(d_in))
        W_enc, b_enc, W_dec, b_dec = (t.contiguous() for t in folded)
        return cls(W_enc, b_enc, W_dec, b_dec, k)


class PCA(TopK):
    """Principal components, each as two latents: one for its positive side, one for its negative.

    Latent `2 i` is the component with the i-th largest variance, latent `2 i + 1` its opposite; the k largest
    projections are kept. Projections are in raw units, as the variance they explain is; there are at most
    2 x d_in latents.
    """

    kind = "pca"

    @classmethod
    def measure(cls, acts: torch.Tensor, num_latents: int, k: int) -> PCA:
        """The components of raw activations [n, d_in]; `num_latents` is cut to 2 x d_in."""
        acts = acts.float()
        mean = acts.mean(0)
        centered = (acts - mean).double()
        components = torch.linalg.eigh(centered.T @ centered).eigenvectors.flip(1).T.float()
        sides = torch.stack([components, -components], 1).flatten(0, 1)[: min(num_latents, 2 * acts.shape[1])]
        sides = sides.contiguous()
        return cls(sides.T.contiguous(), torch.zeros(len(sides)), sides, mean, min(k, len(sides)))


class Neurons:
    """The hidden units of a layer's MLP as they are: latent i is unit i.

    `d_in` is the number of units. A unit's activation is how far it lies above its mean, in its own standard
    deviations, so that units of different scale compete on equal terms; the k largest are kept, and the rest is
    rebuilt as its mean. `mean` and `std` are float32 [d_in].
    """

    kind = "neurons"

    def __init__(self, mean: torch.Tensor, std: torch.Tensor, k: int) -> None:
        self.mean, self.std, self.k = mean, std, k
        self.d_in = self.num_latents = len(mean)

    @classmethod
    def measure(cls, acts: torch.Tensor, k: int) -> Neurons:
        """Measure means and deviations on raw activations [n, d_in] of the hidden units."""
        normal = Normalization.measure(acts)
        return cls(normal.mean, normal.back, min(k, acts.shape[1]))

    @property
    def directions(self) -> torch.Tensor:
        """One axis a unit, float32 [num_latents, d_in]; made when asked for."""
        return torch.diag(self.std)

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations of the units [n, d_in]."""
        return select_topk((acts.float() - self.mean) / self.std, self.k)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations of the units, float32 [n, d_in]."""
        rebuilt = self.mean.repeat(len(code.latent_acts), 1)
        return rebuilt.scatter_add_(1, code.latent_indices, code.latent_acts * self.std[code.latent_indices])

    def to(self, device: str) -> Neurons:
        """Move the figures."""
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """What is stored."""
        config = {"kind": self.kind, "d_in": self.d_in, "num_latents": self.num_latents, "k": self.k}
        return config, {"mean": self.mean.cpu().contiguous(), "std": self.std.cpu().contiguous()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Neurons:
        """The inverse of `state`."""
        return cls(tensors["mean"].float(), tensors["std"].float(), int(config["k"]))
