"""How well a dictionary rebuilds activations, streamed over batches."""

from __future__ import annotations

import torch

from autointerp.dictionaries.protocol import Dictionary, SparseCode

DENSE = 0.5
"""A latent active in more than this share of activations is dense: it says nothing about any of them."""


class Reconstruction:
    """Sums over batches from which the figures follow; all in double precision.

    With x the activations, y what the dictionary makes of them and e = x - y:

    - `fvu`: total squared error over total squared distance from the mean, all dimensions together. Large dimensions
      decide it.
    - `fvu_normalized`: the same with every dimension divided by its standard deviation first, so that each counts
      alike. The scale is that of the activations, not of the dictionary: two dictionaries compare.
    - `explained_variance`: mean over dimensions of 1 - Var(e) / Var(x). Blind to a constant offset.
    - `r2_mean`: mean over dimensions of the squared correlation of x and y, what arXiv 2505.24360 calls variance
      explained. Blind to scale and offset.

    The last two are the same in raw and in normalised space.
    """

    def __init__(self, d_in: int, num_latents: int) -> None:
        self.count = 0
        self.fired = torch.zeros(num_latents, dtype=torch.int64)
        zeros = torch.zeros(d_in, dtype=torch.float64)
        # A shift near the mean keeps the differences of large sums exact enough.
        self._shift: torch.Tensor | None = None
        self._x, self._xx, self._y, self._yy, self._xy = (zeros.clone() for _ in range(5))
        self._error, self._errors = zeros.clone(), zeros.clone()

    @torch.no_grad()
    def update(self, dictionary: Dictionary, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Take in raw activations [n, d_in], of one denoising step or of the steps int64 [n]; returns their code."""
        code = dictionary.encode(acts, step)
        if not len(acts):
            return code
        rebuilt = dictionary.decode(code).double().cpu()
        x = acts.double().cpu()
        if self._shift is None:
            self._shift = x.mean(0)
        error = x - rebuilt
        x, y = x - self._shift, rebuilt - self._shift
        self.count += len(acts)
        self.fired += torch.bincount(code.latent_indices[code.latent_acts > 0].cpu(), minlength=len(self.fired))
        self._x += x.sum(0)
        self._xx += x.square().sum(0)
        self._y += y.sum(0)
        self._yy += y.square().sum(0)
        self._xy += (x * y).sum(0)
        self._error += error.sum(0)
        self._errors += error.square().sum(0)
        return code

    @property
    def _variance(self) -> torch.Tensor:
        """Summed squared distance from the mean, by dimension."""
        return (self._xx - self._x.square() / max(self.count, 1)).clamp_min(0)

    @property
    def _moving(self) -> torch.Tensor:
        """Dimensions that are not constant."""
        variance = self._variance
        return variance > 1e-12 * variance.max()

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained in raw space, 0 for a perfect dictionary, 1 for the mean alone."""
        variance = float(self._variance.sum())
        return float(self._errors.sum()) / variance if variance > 0 else float("nan")

    @property
    def fvu_normalized(self) -> float:
        """Fraction of variance unexplained where every dimension has standard deviation 1."""
        return self._mean(self._errors / self._variance)

    @property
    def explained_variance(self) -> float:
        """Mean over dimensions of 1 - Var(error) / Var(x)."""
        spread = self._errors - self._error.square() / max(self.count, 1)
        return self._mean(1 - spread / self._variance)

    @property
    def r2_mean(self) -> float:
        """Mean over dimensions of the squared Pearson correlation of x and what is rebuilt."""
        n = max(self.count, 1)
        together = self._xy - self._x * self._y / n
        other = (self._yy - self._y.square() / n).clamp_min(0)
        return self._mean((together.square() / (self._variance * other)).nan_to_num(0.0, 0.0, 0.0))

    def _mean(self, values: torch.Tensor) -> float:
        moving = self._moving
        return float(values[moving].mean()) if moving.any() else float("nan")

    @property
    def l0(self) -> float:
        """Latents that fire, on average."""
        return int(self.fired.sum()) / max(self.count, 1)

    @property
    def dead_share(self) -> float:
        """Share of the latents that never fired here."""
        return float((self.fired == 0).double().mean())

    @property
    def dense_share(self) -> float:
        """Share of the latents that fired in more than half of the activations."""
        return float((self.fired > DENSE * self.count).double().mean())

    def figures(self) -> dict[str, float]:
        """All of them, by name."""
        names = ("fvu", "fvu_normalized", "explained_variance", "r2_mean", "l0", "dead_share", "dense_share")
        return {name: float(getattr(self, name)) for name in names}
