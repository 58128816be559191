"""Input normalisation: measured on the first batches, folded into what is stored.

Diffusion activations have a few dimensions far larger than the rest. Without normalisation they take every
latent, and most latents die whatever the auxiliary loss does (arXiv 2505.24360 saw over 99%).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Normalization:
    """`x -> (x - mean) / std`, dimension by dimension; `mean` and `std` are float32 [d_in]."""

    mean: torch.Tensor
    std: torch.Tensor

    @classmethod
    def measure(cls, acts: torch.Tensor) -> Normalization:
        """Measure on raw activations [n, d_in]; a dimension that never moves keeps its scale."""
        acts = acts.float()
        std = acts.std(0)
        floor = std.mean() * 1e-4
        return cls(acts.mean(0), torch.where(std > floor, std, torch.ones_like(std)))

    def apply(self, acts: torch.Tensor) -> torch.Tensor:
        """Normalise raw activations [n, d_in]."""
        return (acts.float() - self.mean) / self.std

    def fold(
        self, W_enc: torch.Tensor, b_enc: torch.Tensor, W_dec: torch.Tensor, b_dec: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same autoencoder as a map of raw activations.

        `(norm(x) - b_dec) @ W_enc` equals `(x - b_raw) @ (W_enc / std)` with `b_raw = mean + std * b_dec`.
        """
        return W_enc / self.std[:, None], b_enc, W_dec * self.std, self.mean + self.std * b_dec
