"""Input normalisation, measured on the first activations and folded into the stored weights.

Diffusion activations have a few dimensions that are far larger than the others. Without normalisation these take every
latent, and most latents die whatever the auxiliary loss does (over 99% in arXiv 2505.24360).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch

from autointerp.dictionaries.precision import wide_dtype
from autointerp.errors import UsageError, nearest

Normalizing = Literal["none", "standard", "whiten"]
NORMALIZATIONS: tuple[str, ...] = get_args(Normalizing)
_FLOOR = 1e-4
"""Least spread that is scaled to 1, over the mean spread; a smaller spread is rounding noise."""


@dataclass(frozen=True)
class Normalization:
    """`x -> (x - mean) @ into`, undone by `u -> u @ back + mean`.

    `mean` is float32 [d_in]; `into` and `back` are factors a dimension [d_in], or matrices [d_in, d_in].
    """

    mean: torch.Tensor
    into: torch.Tensor
    back: torch.Tensor

    @classmethod
    def scaled(cls, mean: torch.Tensor, std: torch.Tensor) -> Normalization:
        """Normalise dimension by dimension: `(x - mean) / std`."""
        return cls(mean, 1 / std, std)

    @classmethod
    def measure(cls, acts: torch.Tensor, kind: str = "standard") -> Normalization:
        """Measure on raw activations [n, d_in].

        Args:
            acts: Raw activations, a few thousand at least; at least 10 x d_in for `whiten`.
            kind: `none`; `standard`: mean 0 and standard deviation 1 in each dimension; `whiten`: rotated to the
                principal components, each with variance 1 (arXiv 2505.24360).

        Raises:
            UsageError: There is no such kind.
        """
        acts = acts.float()
        mean = acts.mean(0)
        if kind == "none":
            return cls(torch.zeros_like(mean), torch.ones_like(mean), torch.ones_like(mean))
        if kind == "standard":
            std = acts.std(0)
            # A constant dimension keeps its scale.
            return cls.scaled(mean, torch.where(std > std.mean() * _FLOOR, std, torch.ones_like(std)))
        if kind == "whiten":
            centered = acts - mean
            # A device without float64 leaves this to the processor.
            here = (centered if wide_dtype(acts.device) == torch.float64 else centered.cpu()).double()
            variance, components = torch.linalg.eigh(here.T @ here / max(len(acts) - 1, 1))
            std = variance.clamp_min(0).sqrt()
            std = std.clamp_min(max(float(std.mean()) * _FLOOR, 1e-12))
            into, back = (components / std).float(), (components * std).T.float().contiguous()
            return cls(mean, into.to(acts.device), back.to(acts.device))
        raise UsageError(f"there is no normalization {kind!r}", nearest(kind, NORMALIZATIONS))

    def apply(self, acts: torch.Tensor) -> torch.Tensor:
        """Normalise raw activations [n, d_in]."""
        centered = acts.float() - self.mean
        return centered * self.into if self.into.dim() == 1 else centered @ self.into

    def undo(self, normal: torch.Tensor) -> torch.Tensor:
        """Return the raw activations [n, d_in] of normalised ones."""
        return (normal * self.back if self.back.dim() == 1 else normal @ self.back) + self.mean

    def fold(
        self, W_enc: torch.Tensor, b_enc: torch.Tensor, W_dec: torch.Tensor, b_dec: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the weights of the same autoencoder as a map of raw activations.

        `(norm(x) - b_dec) @ W_enc` equals `(x - b_raw) @ (into @ W_enc)` with `b_raw = mean + b_dec @ back`.
        """
        if self.into.dim() == 1:
            return W_enc * self.into[:, None], b_enc, W_dec * self.back, self.mean + self.back * b_dec
        return self.into @ W_enc, b_enc, W_dec @ self.back, self.mean + b_dec @ self.back

    def to(self, device: str | torch.device) -> Normalization:
        """Return a copy on a device."""
        return Normalization(self.mean.to(device), self.into.to(device), self.back.to(device))

    def state_dict(self) -> dict[str, Any]:
        """Return the tensors that a checkpoint keeps."""
        return {"mean": self.mean, "into": self.into, "back": self.back}
