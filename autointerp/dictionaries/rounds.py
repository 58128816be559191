"""A round of activations: what a trainer gets at a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Round:
    """Raw activations with where each comes from.

    `acts` is float [n, d_in]; `places` int64 [n, 4], on the CPU: number of the image in the run, denoising step, row,
    column.
    """

    acts: torch.Tensor
    places: torch.Tensor

    @property
    def steps(self) -> torch.Tensor:
        """Denoising step of each, int64 [n]."""
        return self.places[:, 1]

    def of_steps(self, steps: Collection[int]) -> Round:
        """Those of some denoising steps alone."""
        wanted = torch.isin(self.steps, torch.tensor(list(steps)))
        return Round(self.acts[wanted.to(self.acts.device)], self.places[wanted])

    def __len__(self) -> int:
        return len(self.acts)


def shuffled(count: int, seed: int, number: int, passes: int) -> list[torch.Tensor]:
    """For each pass over the round `number`, the order int64 [count]; the same whatever was stopped before."""
    draw = torch.Generator().manual_seed((seed << 20) + number)
    return [torch.randperm(count, generator=draw) for _ in range(passes)]
