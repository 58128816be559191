"""Which text tokens of a batch are of the prompts themselves: padding and templates are nobody's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from autointerp.diffusion.tokens import TokenReader

if TYPE_CHECKING:
    from autointerp.diffusion.passes import Pass


def text_mask(batch: Pass) -> torch.Tensor:
    """Return which text tokens of each image are of its prompt, bool [images, text tokens]."""
    family, pipeline = batch.model.family, batch.model.pipeline
    parts = family.text_stream().parts(batch.settings.max_sequence_length)
    loaded = {part: getattr(pipeline, part) for part, _ in parts}
    reader = TokenReader(batch.model.description, batch.settings.max_sequence_length, loaded)
    return torch.tensor([reader.own(job.prompt) for job in batch.jobs])


def fitted(states: torch.Tensor, grid: tuple[int, int], before: bool = False) -> torch.Tensor:
    """Bring states [images, tokens, width] to the tokens of a grid (1, text tokens).

    Zeros fill up a text that is shorter. What a text has beyond the grid is padding, and is left out.

    Args:
        states: The states.
        grid: The grid.
        before: Whether padding stands before the text (see `TextStream.padded_before`); else behind it.
    """
    more = max(grid[1] - states.shape[1], 0)
    if before:
        return F.pad(states[:, -grid[1] :], (0, 0, more, 0))
    return F.pad(states[:, : grid[1]], (0, 0, 0, more))
