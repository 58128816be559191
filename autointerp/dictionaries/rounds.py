"""A round: the activations that a trainer gets at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Round:
    """Raw activations, with the place of each.

    Attributes:
        acts: float [n, d_in].
        places: Number of the image in the run, denoising step, row, column: int64 [n, 4], on the CPU.
    """

    acts: torch.Tensor
    places: torch.Tensor

    @property
    def steps(self) -> torch.Tensor:
        """Denoising step of each activation, int64 [n]."""
        return self.places[:, 1]

    def of_steps(self, steps: Collection[int]) -> Round:
        """Return the activations of some denoising steps alone."""
        wanted = torch.isin(self.steps, torch.tensor(list(steps)))
        return Round(self.acts[wanted.to(self.acts.device)], self.places[wanted])

    def __len__(self) -> int:
        return len(self.acts)


def shuffled(count: int, seed: int, number: int, passes: int) -> list[torch.Tensor]:
    """Return an order, int64 [count], for each pass over the round `number`.

    The orders depend on seed and number alone, so a fit that was stopped goes on with the same ones.
    """
    draw = torch.Generator().manual_seed((seed << 20) + number)
    return [torch.randperm(count, generator=draw) for _ in range(passes)]
