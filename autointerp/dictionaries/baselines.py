"""Baselines, which go through the same path as a fitted dictionary, so that a figure can be compared with theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autointerp.dictionaries.fitting import FitConfig, MeasuredOnce, Trainer
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sae import TopK
from autointerp.dictionaries.sparse import select_topk


def along(normalization: Normalization, directions: torch.Tensor, k: int) -> TopK:
    """Read directions of normalised space by inner product; the k largest products are kept.

    Args:
        normalization: Of the layer.
        directions: float32 [n, d_in], in normalised space; scaled to unit norm.
        k: Latents that fire in a token.
    """
    W_enc, b_enc, W_dec, b_dec = _folded(normalization, directions)
    return TopK(W_enc, b_enc, W_dec, b_dec, min(k, len(directions)))


def _folded(
    normalization: Normalization, directions: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return encoder, decoder and biases of unit directions of normalised space, as maps of raw activations."""
    unit = torch.nn.functional.normalize(directions.float(), dim=1)
    folded = normalization.fold(unit.T, torch.zeros(len(unit)), unit, torch.zeros(unit.shape[1]))
    W_enc, b_enc, W_dec, b_dec = (t.contiguous() for t in folded)
    return W_enc, b_enc, W_dec, b_dec


class RandomDirections(TopK):
    """Random unit directions in normalised space, read by inner product; the k largest products are kept.

    Only the normalisation is fitted. So a figure of these features is the figure of any projection of the layer.
    `num_latents` may exceed `d_in`.
    """

    kind = "random"

    @classmethod
    def draw(cls, normalization: Normalization, num_latents: int, k: int, seed: int) -> RandomDirections:
        """Draw `num_latents` directions for a layer whose `normalization` was measured."""
        d_in = len(normalization.mean)
        # The random stream differs from that of an SAE of this seed, which would start from the same directions.
        draw = torch.Generator().manual_seed((seed << 20) + 17)
        directions = torch.randn(num_latents, d_in, generator=draw)
        W_enc, b_enc, W_dec, b_dec = _folded(normalization, directions)
        return cls(W_enc, b_enc, W_dec, b_dec, k)


def random_activations(acts: torch.Tensor, num_latents: int, k: int, seed: int) -> TopK:
    """Take some of the layer's raw activations [n, d_in] as directions in normalised space.

    Nothing is learned but the normalisation. Where there are fewer activations than latents, all are taken.
    """
    normal = Normalization.measure(acts)
    draw = torch.Generator().manual_seed((seed << 20) + 18)
    chosen = acts[torch.randperm(len(acts), generator=draw)[:num_latents]]
    return along(normal, normal.apply(chosen), k)


def spherical_means(acts: torch.Tensor, num_latents: int, k: int, seed: int) -> TopK:
    """Take the means of a spherical k-means of raw activations [n, d_in] as directions in normalised space.

    At most 256 activations a mean are looked at. Where there are fewer activations than latents, all are taken.
    """
    import faiss
    import numpy as np

    normal = Normalization.measure(acts)
    points = np.ascontiguousarray(torch.nn.functional.normalize(normal.apply(acts), dim=1).numpy(), np.float32)
    count = min(num_latents, len(points))
    means = faiss.Kmeans(points.shape[1], count, niter=25, seed=seed + 1, spherical=True, min_points_per_centroid=1)
    means.train(points)
    return along(normal, torch.from_numpy(np.array(means.centroids)), k)


class PCA(TopK):
    """Principal components, each as two latents: one for its positive side, one for its negative.

    Latent `2 i` is the component with the i-th largest variance, and latent `2 i + 1` its opposite. The k largest
    projections are kept, in raw units, since the explained variance is in raw units. There are at most 2 x d_in
    latents.
    """

    kind = "pca"

    @classmethod
    def measure(cls, acts: torch.Tensor, num_latents: int, k: int) -> PCA:
        """Compute the components of raw activations [n, d_in]; `num_latents` is cut to 2 x d_in."""
        mean, components, _ = _components(acts)
        sides = torch.stack([components, -components], 1).flatten(0, 1)[: min(num_latents, 2 * acts.shape[1])]
        sides = sides.contiguous()
        return cls(sides.T.contiguous(), torch.zeros(len(sides)), sides, mean, min(k, len(sides)))

    @classmethod
    def measure_scaled(cls, acts: torch.Tensor, num_latents: int, k: int) -> PCA:
        """Compute the same components, each in its own standard deviations.

        In raw units the first components take every token. So scaled, all compete on equal terms, and the k that stand
        out most are kept.
        """
        mean, components, std = _components(acts)
        kept = std > std.max() * _NOISE
        components, std = components[kept], std[kept, None]
        read, write = (
            torch.stack([rows, -rows], 1).flatten(0, 1)[:num_latents] for rows in (components / std, components * std)
        )
        return cls(read.T.contiguous(), torch.zeros(len(read)), write.contiguous(), mean, min(k, len(read)))


_NOISE = 1e-4
"""Least spread of a component, over that of the first, that is scaled to 1; a smaller spread is rounding noise."""


def _components(acts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return mean [d_in], principal components [d_in, d_in] and standard deviations [d_in], largest first."""
    acts = acts.float()
    mean = acts.mean(0)
    centered = (acts - mean).double()
    variance, components = torch.linalg.eigh(centered.T @ centered / max(len(acts) - 1, 1))
    return mean, components.flip(1).T.float(), variance.flip(0).clamp_min(0).sqrt().float()


class Neurons:
    """The hidden units of a layer's MLP as they are: latent i is unit i.

    `d_in` is the number of units. A unit's activation is its distance above its mean, in its own standard deviations,
    so that units of different scale compete on equal terms. The k largest activations are kept, and the other units are
    rebuilt as their means. `mean` and `std` are float32 [d_in].
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
        """One axis for each unit, float32 [num_latents, d_in]; computed on each call."""
        return torch.diag(self.std)

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations of the units [n, d_in]; the step does not matter."""
        del step
        return select_topk((acts.float() - self.mean) / self.std, self.k)

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations of the units, float32 [n, d_in]."""
        rebuilt = self.mean.repeat(len(code.latent_acts), 1)
        return rebuilt.scatter_add_(1, code.latent_indices, code.latent_acts * self.std[code.latent_indices])

    def to(self, device: str) -> Neurons:
        """Move means and deviations to a device, and return the dictionary itself."""
        self.mean, self.std = self.mean.to(device), self.std.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return configuration and tensors, as they are stored."""
        config = {"kind": self.kind, "d_in": self.d_in, "num_latents": self.num_latents, "k": self.k}
        return config, {"mean": self.mean.cpu().contiguous(), "std": self.std.cpu().contiguous()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Neurons:
        """Make a dictionary of what `state` returned."""
        return cls(tensors["mean"].float(), tensors["std"].float(), int(config["k"]))


def fit_neurons(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to measure the hidden units of a layer."""
    del d_in, device
    return MeasuredOnce(lambda acts: Neurons.measure(acts, config.k))


def fit_pca(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to measure a layer's principal components."""
    del d_in, device
    return MeasuredOnce(lambda acts: PCA.measure(acts, config.num_latents, config.k))


def fit_random(config: FitConfig, d_in: int, device: str) -> Trainer:
    """Begin to measure a layer's normalisation for random directions."""
    del d_in, device

    def draw(acts: torch.Tensor) -> RandomDirections:
        normal = Normalization.measure(acts, config.normalize)
        return RandomDirections.draw(normal, config.num_latents, config.k, config.seed)

    return MeasuredOnce(draw)
