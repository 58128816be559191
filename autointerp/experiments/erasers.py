"""Ways of erasing a concept from every picture: what marks its cells is measured once, and suppressed in all cells."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.experiments.ways.contrast import activations_of, strongest

if TYPE_CHECKING:
    import numpy as np
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.edits import Change

SAE, SEARCH, MEANS, NEURONS, RANDOM = "sae", "sae by search", "means", "neurons", "random"
ERASERS = (SAE, SEARCH, MEANS, NEURONS, RANDOM)
"""Ways, in the order of the tables: features by contrast, features by their names, and those without features."""
STRENGTHS = (1.0, 2.0, 4.0)
"""Factors that are tried; 1 silences features, or moves a cell to the mean of other cells."""


@dataclass(frozen=True, eq=False)
class Marks:
    """Mean activations of a layer in cells with a value of an attribute, and in cells with another value of it.

    Attributes:
        inside: Float32 [steps, width], in cells with the value.
        outside: The same in cells with another value.
        cells: Numbers of cells of both.
    """

    inside: torch.Tensor
    outside: torch.Tensor
    cells: tuple[int, int]


class MarkSums:
    """Sums of activations by the value that an attribute has in a cell, from which `Marks` follow.

    Args:
        values: Attribute -> number of its values.
        steps: Number of denoising steps.
        width: Width of what is summed.
    """

    def __init__(self, values: Mapping[str, int], steps: int, width: int) -> None:
        import torch

        self.sums = {name: torch.zeros(steps, count, width, dtype=torch.float64) for name, count in values.items()}
        self.counts = {name: torch.zeros(count, dtype=torch.int64) for name, count in values.items()}

    def add(self, step: int, acts: torch.Tensor, cells: Mapping[str, np.ndarray]) -> None:
        """Take in the activations of a picture at a step.

        Args:
            step: 0-based step.
            acts: Float [cells, width].
            cells: Attribute -> the value of each cell, int64 [cells], -1 for none. Cells are counted at step 0.
        """
        import torch

        for name, sums in self.sums.items():
            of = torch.from_numpy(cells[name].copy())
            has = of >= 0
            sums[step].index_add_(0, of[has], acts.cpu()[has].double())
            if step == 0:
                self.counts[name] += torch.bincount(of[has], minlength=len(self.counts[name]))

    def marks(self, name: str, value: int) -> Marks:
        """Return the marks of a value of an attribute."""
        import torch

        counts = self.counts[name]
        others = torch.arange(len(counts)) != value
        inside, outside = int(counts[value]), int(counts[others].sum())
        return Marks(
            (self.sums[name][:, value] / max(inside, 1)).float(),
            (self.sums[name][:, others].sum(1) / max(outside, 1)).float(),
            (inside, outside),
        )


def telling(marks: Marks, directions: torch.Tensor, k: int) -> torch.Tensor:
    """Return the latents that are more active in cells with the value, those of the largest contrast first, int64."""
    contrast = (marks.inside - marks.outside).clamp_min(0).to(directions.device)
    return strongest(contrast, directions, k)


def silenced(dictionary: Dictionary, latents: torch.Tensor, strength: float) -> Change:
    """Take so many times a feature's own activation away wherever it fires: 1 silences it."""
    from autointerp.diffusion.edits import Change

    return Change(lambda acts, step: -strength * _said(dictionary, latents, acts, step), adds=True)


def silenced_at_random(dictionary: Dictionary, latents: torch.Tensor, strength: float, word: str) -> Change:
    """Take away, in each cell, as much as `silenced` does, along one random direction of the word."""
    import torch

    from autointerp.diffusion.edits import Change

    draw = torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(word.encode()).digest()[:7], "big"))
    direction = torch.randn(dictionary.d_in, generator=draw)
    direction = direction / direction.norm()

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        norms = _said(dictionary, latents, acts, step).norm(dim=-1, keepdim=True)
        return -strength * norms * direction.to(acts)

    return Change(function, adds=True)


def _said(dictionary: Dictionary, latents: torch.Tensor, acts: torch.Tensor, step: int) -> torch.Tensor:
    """Return what some latents contribute to activations [images, cells, d_in]."""
    code = dictionary.encode(acts.reshape(-1, acts.shape[-1]), step)
    found = activations_of([code], latents)[0] @ dictionary.directions[latents]
    return found.reshape(acts.shape)


def moved_to_others(marks: Marks, strength: float) -> Change:
    """Move a cell along the difference of means, as far as it lies on the concept's side.

    At a strength of 1, a cell at the concept's own mean is moved to the mean of the others; one that is there stays.
    """
    from autointerp.diffusion.edits import Change

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        away = (marks.inside[step] - marks.outside[step]).to(acts)
        along = ((acts - marks.outside[step].to(acts)) @ away) / away.square().sum().clamp_min(1e-12)
        return -strength * along.clamp(0, 1)[..., None] * away

    return Change(function, adds=True)


def units_moved(marks: Marks, k: int, strength: float) -> Change:
    """Move the hidden units of the largest contrast, each by itself, as `moved_to_others` moves a cell."""
    import torch

    from autointerp.diffusion.edits import Change

    units = strongest(marks.inside - marks.outside, torch.ones(marks.inside.shape[1], 1), k)

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        rest = marks.outside[step].to(acts)[units]
        away = marks.inside[step].to(acts)[units] - rest
        share = ((acts[..., units] - rest) * away / away.square().clamp_min(1e-12)).clamp(0, 1)
        added = torch.zeros_like(acts)
        added[..., units] = -strength * share * away
        return added

    return Change(function, adds=True)


def words_without(caption: str, word: str, clause: str = "") -> str:
    """Return a caption without a word, or without the whole clause that says it.

    Args:
        caption: Clauses between commas.
        word: The word.
        clause: A second word; a clause with both is left out as a whole, such as `sand background`.
    """
    kept: list[str] = []
    for part in caption.split(", "):
        words: Sequence[str] = part.split(" ")
        if clause and word in words and clause in words:
            continue
        kept.append(" ".join(one for one in words if one != word))
    return ", ".join(one for one in kept if one)
