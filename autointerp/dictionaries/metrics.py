"""How well a dictionary rebuilds activations, streamed."""

from __future__ import annotations

import torch

from autointerp.dictionaries.protocol import Dictionary


class Reconstruction:
    """Sums over batches from which the figures follow.

    `fvu` is the fraction of variance unexplained in raw space: total squared error over total squared distance
    from the mean, over all dimensions together. `l0` is the mean number of latents that fire.
    """

    def __init__(self, d_in: int) -> None:
        self.count = 0
        self.fired = 0
        self.error = 0.0
        self.sum = torch.zeros(d_in, dtype=torch.float64)
        self.squares = 0.0

    def update(self, dictionary: Dictionary, acts: torch.Tensor) -> None:
        """Take in raw activations [n, d_in]."""
        code = dictionary.encode(acts)
        error = acts.float() - dictionary.decode(code)
        self.count += len(acts)
        self.fired += int((code.latent_acts > 0).sum())
        self.error += float(error.double().square().sum())
        self.sum += acts.double().sum(0).cpu()
        self.squares += float(acts.double().square().sum())

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained, 0 for a perfect dictionary, 1 for the mean alone."""
        variance = self.squares - float(self.sum.square().sum()) / max(self.count, 1)
        return self.error / variance if variance > 0 else float("nan")

    @property
    def l0(self) -> float:
        """Latents that fire, on average."""
        return self.fired / max(self.count, 1)
