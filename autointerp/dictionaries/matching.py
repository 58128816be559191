"""The matching pursuit of SAELens: the decoder alone, whose rows are chosen one by one from what is left.

Unlike the pursuits of an ITDA it takes rows of any length, non-negative coefficients, and as many as it needs: a row
ends when its latents are those of the round before, or little is left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sae import ROWS
from autointerp.dictionaries.sparse import decode_sparse, joined, select_positive


class MatchingPursuit:
    """A decoder `W_dec` [num_latents, d_in] with a bias `b_dec` [d_in], encoded by matching pursuit.

    Args:
        W_dec: float32 [num_latents, d_in], rows of any length.
        b_dec: float32 [d_in], subtracted first and added last.
        residual: Length of what is left, below which a row is done.
        k: Mean number of latents that fire; None where it is not known.
    """

    kind = "matching-pursuit"

    def __init__(self, W_dec: torch.Tensor, b_dec: torch.Tensor, residual: float, k: int | None = None) -> None:
        self.W_dec, self.b_dec, self.residual, self.k = W_dec, b_dec, residual, k
        self.num_latents, self.d_in = W_dec.shape

    @property
    def directions(self) -> torch.Tensor:
        """Each latent's decoder row, float32 [num_latents, d_in]."""
        return self.W_dec

    def encode(self, acts: torch.Tensor, step: int | torch.Tensor | None = None) -> SparseCode:
        """Encode raw activations [n, d_in], `ROWS` at a time; the step does not matter."""
        del step
        parts = range(0, max(len(acts), 1), ROWS)
        return joined([select_positive(self._dense(acts[start : start + ROWS])) for start in parts])

    @torch.no_grad()
    def _dense(self, acts: torch.Tensor) -> torch.Tensor:
        """Return the coefficient of every latent, [n, num_latents].

        A row that chooses a latent it has is done with it, since its latents are then those of the round before. So no
        row takes more rounds than there are latents.
        """
        left = acts.float() - self.b_dec
        found = left.new_zeros(len(left), self.num_latents)
        open_rows = torch.arange(len(left), device=left.device)
        while len(open_rows):
            here = left[open_rows]
            value, latent = (here @ self.W_dec.T).relu().max(1)
            is_new = (found[open_rows, latent] == 0) & (value > 0)
            found[open_rows, latent] += value
            left[open_rows] = here - value[:, None] * self.W_dec[latent]
            open_rows = open_rows[is_new & (left[open_rows].norm(dim=1) >= self.residual)]
        return found

    def decode(self, code: SparseCode) -> torch.Tensor:
        """Rebuild raw activations, float32 [n, d_in]."""
        return decode_sparse(code, self.W_dec) + self.b_dec

    def to(self, device: str) -> MatchingPursuit:
        """Move the weights to a device, and return the dictionary itself."""
        self.W_dec, self.b_dec = self.W_dec.to(device), self.b_dec.to(device)
        return self

    def state(self) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        """Return configuration and tensors, as they are stored."""
        config = {
            "kind": self.kind,
            "d_in": self.d_in,
            "num_latents": self.num_latents,
            "k": self.k,
            "residual": self.residual,
        }
        return config, {"W_dec": self.W_dec.cpu().contiguous(), "b_dec": self.b_dec.cpu().contiguous()}

    @classmethod
    def from_state(cls, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> MatchingPursuit:
        """Make a dictionary of what `state` returned."""
        return cls(tensors["W_dec"].float(), tensors["b_dec"].float(), float(config["residual"]), config.get("k"))
