"""Figures of how well a dictionary rebuilds activations, summed over batches."""

from __future__ import annotations

import torch

from autointerp.dictionaries.precision import wide_dtype, working_dtype
from autointerp.dictionaries.protocol import Dictionary, SparseCode
from autointerp.dictionaries.rebuilding import aimed_at, rebuilt
from autointerp.dictionaries.sparse import times_fired

_ROWS = 4096
"""Activations that are summed at a time."""
DENSE = 0.5
"""A latent that fires in more than this share of activations is dense: it tells none of them apart."""


class Reconstruction:
    """Sums over batches, in double precision, from which the figures follow.

    The sums stay on the device of the activations until a figure is asked for. A processor computes everything in
    float64. An accelerator computes differences and products in float32 and sums them in float64; where it has none,
    the sums of some thousand activations are added up on the processor.

    With x the activations, y their reconstruction and e = x - y:

    - `fvu`: total squared error over total squared distance from the mean, over all dimensions together. Large
      dimensions decide this figure.
    - `fvu_normalized`: the same with every dimension divided by its standard deviation first, so that all dimensions
      count alike. The scale is that of the activations, so that two dictionaries can be compared.
    - `explained_variance`: mean over dimensions of 1 - Var(e) / Var(x). Blind to a constant offset.
    - `r2_mean`: mean over dimensions of the squared correlation of x and y, which arXiv 2505.24360 calls variance
      explained. Blind to scale and offset.

    The last two are the same in raw and in normalised space.
    """

    def __init__(self, d_in: int, num_latents: int) -> None:
        self.count = 0
        self.fired = torch.zeros(num_latents, dtype=torch.int64)
        # Sums of values that are shifted by about their mean lose less precision in differences.
        self._shift: torch.Tensor | None = None
        self._sums = torch.zeros(7, d_in, dtype=torch.float64)
        """Sums of x, x², y, y², x y, error and error², each [d_in]."""

    @torch.no_grad()
    def update(self, dictionary: Dictionary, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Add what a dictionary encodes, and return its code.

        Args:
            dictionary: The dictionary.
            acts: Raw activations [n, d_in], or of a transcoder pairs [n, 2 d_in].
            step: Their denoising step, or the step of each, int64 [n].
        """
        code = dictionary.encode(acts, step)
        device = acts.device
        wide, dtype = wide_dtype(device), working_dtype(device)
        self.count += len(acts)
        self.fired = self.fired.to(device) + times_fired(code, len(self.fired))
        for start in range(0, len(acts), _ROWS):
            rows = slice(start, start + _ROWS)
            x = aimed_at(dictionary, acts[rows]).to(dtype)
            part = SparseCode(code.latent_acts[rows], code.latent_indices[rows])
            y = rebuilt(dictionary, acts[rows], part).to(dtype)
            if self._shift is None:
                self._shift = x.mean(0)
            error = x - y
            x, y = x - self._shift, y - self._shift
            values = (x, x.square(), y, y.square(), x * y, error, error.square())
            sums = torch.stack([value.sum(0, dtype=wide) for value in values])
            if wide != torch.float64:
                sums = sums.cpu().double()
            self._sums = self._sums.to(sums.device) + sums
        return code

    def _sum(self, number: int) -> torch.Tensor:
        return self._sums[number].cpu()

    @property
    def _variance(self) -> torch.Tensor:
        """Summed squared distance from the mean, by dimension."""
        return (self._sum(1) - self._sum(0).square() / max(self.count, 1)).clamp_min(0)

    @property
    def _moving(self) -> torch.Tensor:
        """Which dimensions are not constant, bool [d_in]."""
        variance = self._variance
        return variance > 1e-12 * variance.max()

    @property
    def fvu(self) -> float:
        """Fraction of variance unexplained in raw space, 0 for a perfect dictionary, 1 for the mean alone."""
        variance = float(self._variance.sum())
        return float(self._sum(6).sum()) / variance if variance > 0 else float("nan")

    @property
    def fvu_normalized(self) -> float:
        """Fraction of variance unexplained where every dimension has standard deviation 1."""
        return self._mean(self._sum(6) / self._variance)

    @property
    def explained_variance(self) -> float:
        """Mean over dimensions of 1 - Var(error) / Var(x)."""
        spread = self._sum(6) - self._sum(5).square() / max(self.count, 1)
        return self._mean(1 - spread / self._variance)

    @property
    def r2_mean(self) -> float:
        """Mean over dimensions of the squared Pearson correlation of x and its reconstruction."""
        n = max(self.count, 1)
        together = self._sum(4) - self._sum(0) * self._sum(2) / n
        other = (self._sum(3) - self._sum(2).square() / n).clamp_min(0)
        return self._mean((together.square() / (self._variance * other)).nan_to_num(0.0, 0.0, 0.0))

    def _mean(self, values: torch.Tensor) -> float:
        moving = self._moving
        return float(values[moving].mean()) if moving.any() else float("nan")

    @property
    def l0(self) -> float:
        """Mean number of latents that fire in an activation."""
        return int(self.fired.sum()) / max(self.count, 1)

    @property
    def dead_share(self) -> float:
        """Share of the latents that never fired on these activations."""
        return float((self.fired.cpu() == 0).double().mean())

    @property
    def dense_share(self) -> float:
        """Share of the latents that fired in more than half of the activations."""
        return float((self.fired.cpu() > DENSE * self.count).double().mean())

    def figures(self) -> dict[str, float]:
        """Return all figures by name."""
        names = ("fvu", "fvu_normalized", "explained_variance", "r2_mean", "l0", "dead_share", "dense_share")
        return {name: float(getattr(self, name)) for name in names}
