"""The latents of a dictionary whose directions are most alike."""

from __future__ import annotations

import torch
import torch.nn.functional as F


@torch.no_grad()
def nearest_directions(directions: torch.Tensor, count: int, rows: int = 4096) -> tuple[torch.Tensor, torch.Tensor]:
    """Find, for each latent, the others of largest decoder cosine, the nearest first.

    Args:
        directions: float [num_latents, d_in].
        count: Number of neighbours of a latent; fewer where there are no more.
        rows: Latents compared at a time, so that memory does not hold all cosines.

    Returns:
        `index` int64 and `cosine` float32, both [num_latents, count], on the device of `directions`.
    """
    unit = F.normalize(directions.float(), dim=1)
    count = min(count, len(unit) - 1)
    found = []
    for start in range(0, len(unit), rows):
        cosines = unit[start : start + rows] @ unit.T
        own = torch.arange(len(cosines), device=unit.device)
        cosines[own, own + start] = -2.0
        found.append(cosines.topk(count, dim=1))
    cosine, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    return index, cosine
