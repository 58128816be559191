"""Features chosen by contrast: those whose activations differ most between two pictures inside a region.

RIEBench (arXiv 2410.22366) ranks by each feature's share of all activation, and takes as many features to add as to
subtract. Here a feature ranks by the length of what the edit would add along its direction, whatever the sign, so `k`
is the number of all features that are changed, and directions of any norm are comparable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary, SparseCode


def encoded(dictionary: Dictionary, acts: torch.Tensor, steps: tuple[int, ...]) -> list[SparseCode]:
    """Encode activations [steps, cells, d_in], a code for each step."""
    return [dictionary.encode(one, step) for one, step in zip(acts, steps, strict=True)]


def mean_activations(codes: list[SparseCode], num_latents: int) -> torch.Tensor:
    """Return the mean activation of each latent over the cells, float32 [steps, num_latents]."""
    import torch

    sums = []
    for code in codes:
        total = torch.zeros(num_latents, device=code.latent_acts.device)
        # An unused slot adds 0 to latent 0.
        total.scatter_add_(0, code.latent_indices.reshape(-1), code.latent_acts.float().reshape(-1))
        sums.append(total / max(len(code.latent_acts), 1))
    return torch.stack(sums)


def strongest(contrast: torch.Tensor, directions: torch.Tensor, k: int) -> torch.Tensor:
    """Return the latents of the largest contrast, int64 [k], largest first.

    Args:
        contrast: Differences of mean activations, [steps, num_latents].
        directions: [num_latents, d_in].
        k: How many; latents without any contrast are left out.
    """
    import torch

    # Round, so that values that tie up to the last digits are in one order on every machine.
    size = (contrast.abs().mean(0) * directions.norm(dim=1)).double()
    size = torch.round(size / size.max().clamp_min(1e-30) * 1e6)
    order = torch.argsort(size, descending=True, stable=True)[:k]
    return order[size[order] > 0]


def activations_of(codes: list[SparseCode], latents: torch.Tensor) -> torch.Tensor:
    """Return the activations of some latents in each cell, float32 [steps, cells, latents]."""
    import torch

    found = []
    for code in codes:
        here = code.latent_indices[:, :, None] == latents
        found.append((code.latent_acts.float()[:, :, None] * here).sum(1))
    return torch.stack(found)
