"""Sparse codes: the choice of the latents that fire, and the sum of their directions. No dense code is ever kept."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from autointerp.dictionaries.protocol import SparseCode


def decode_sparse(code: SparseCode, W_dec: torch.Tensor) -> torch.Tensor:
    """Sum the rows of the latents that fire: `code` [n, k] and `W_dec` [num_latents, d_in] give [n, d_in]."""
    return F.embedding_bag(code.latent_indices, W_dec, per_sample_weights=code.latent_acts, mode="sum")


def fired_latents(code: SparseCode, num_latents: int) -> torch.Tensor:
    """Return which latents fire in any row, bool [num_latents], without waiting for the device."""
    fired = torch.zeros(num_latents + 1, dtype=torch.bool, device=code.latent_acts.device)
    # An unused slot points to the last place, which stands for no latent.
    return fired.scatter_(0, _latents(code, num_latents), True)[:num_latents]


def times_fired(code: SparseCode, num_latents: int) -> torch.Tensor:
    """Return in how many rows each latent fires, int64 [num_latents], without waiting for the device."""
    times = torch.zeros(num_latents + 1, dtype=torch.int32, device=code.latent_acts.device)
    found = _latents(code, num_latents)
    return times.scatter_add_(0, found, torch.ones_like(found, dtype=torch.int32))[:num_latents].long()


def _latents(code: SparseCode, num_latents: int) -> torch.Tensor:
    """Return the latent of each slot, int64 [n * k]; of an unused slot `num_latents`."""
    return code.latent_indices.masked_fill(code.latent_acts <= 0, num_latents).flatten()


def select_topk(pre_acts: torch.Tensor, k: int) -> SparseCode:
    """Keep the k largest positive entries of `pre_acts` [n, num_latents].

    A slot without one holds act 0 and index 0.
    """
    acts, indices = pre_acts.topk(min(k, pre_acts.shape[1]), dim=-1)
    acts = acts.relu()
    indices = torch.where(acts > 0, indices, torch.zeros_like(indices))
    missing = k - acts.shape[1]
    return (
        SparseCode(acts, indices)
        if missing <= 0
        else SparseCode(F.pad(acts, (0, missing)), F.pad(indices, (0, missing)))
    )


def select_positive(acts: torch.Tensor) -> SparseCode:
    """Keep all positive entries of `acts` [n, num_latents], in a code as wide as its fullest row."""
    width = int(fullest_row(acts)) if len(acts) else 0
    return select_topk(acts, max(width, 1))


def fullest_row(acts: torch.Tensor) -> torch.Tensor:
    """Return how many entries of the fullest row of `acts` [n, num_latents] are positive, int64, 0-dim."""
    return (acts > 0).sum(1).max()


def joined(parts: Sequence[SparseCode]) -> SparseCode:
    """Put codes below each other; narrow ones get unused slots."""
    if len(parts) == 1:
        return parts[0]
    width = max(part.latent_acts.shape[1] for part in parts)
    wide = [[F.pad(t, (0, width - t.shape[1])) for t in part] for part in parts]
    acts, indices = (torch.cat(side) for side in zip(*wide, strict=True))
    return SparseCode(acts, indices)
