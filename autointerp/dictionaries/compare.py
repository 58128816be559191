"""Likeness of two dictionaries of one layer: shared atoms, and latents with like directions."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from dataclasses import dataclass

import torch
import torch.nn.functional as F


def jaccard(one: Collection[Hashable], other: Collection[Hashable]) -> float:
    """Return the Jaccard index of two sets of atoms' sources (arXiv 2505.17769); nan where both are empty."""
    a, b = set(one), set(other)
    return len(a & b) / len(a | b) if a | b else float("nan")


@dataclass(frozen=True)
class Matching:
    """For each latent of one dictionary the nearest of another: `cosine` float32 [n], `index` int64 [n]."""

    cosine: torch.Tensor
    index: torch.Tensor

    @property
    def mean(self) -> float:
        """Mean cosine of a latent and its nearest."""
        return float(self.cosine.mean())

    def share(self, above: float) -> float:
        """Return the share of latents whose nearest has a cosine above a bound."""
        return float((self.cosine > above).float().mean())


@torch.no_grad()
def match_directions(one: torch.Tensor, other: torch.Tensor, rows: int = 4096) -> tuple[Matching, Matching]:
    """Match the latents of two dictionaries by decoder cosine, in both directions.

    Args:
        one: Directions [n, d_in].
        other: Directions [m, d_in].
        rows: Rows of `one` compared at a time, so that memory does not hold all cosines.
    """
    one, other = F.normalize(one.float(), dim=1), F.normalize(other.float(), dim=1)
    there: list[tuple[torch.Tensor, torch.Tensor]] = []
    best = torch.full((len(other),), -2.0)
    best_index = torch.zeros(len(other), dtype=torch.int64)
    for start in range(0, len(one), rows):
        cosines = one[start : start + rows] @ other.T
        there.append(tuple(cosines.max(1)))  # type: ignore[arg-type]
        value, index = cosines.max(0)
        larger = value > best
        best, best_index = torch.where(larger, value, best), torch.where(larger, index + start, best_index)
    return Matching(*(torch.cat(parts) for parts in zip(*there, strict=True))), Matching(best, best_index)
