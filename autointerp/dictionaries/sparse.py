"""Sparse codes: choosing the latents that fire, and summing their directions. A dense code is never kept."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from autointerp.dictionaries.protocol import SparseCode


def decode_sparse(code: SparseCode, W_dec: torch.Tensor) -> torch.Tensor:
    """Sum of the firing rows: `code` [n, k] and `W_dec` [num_latents, d_in] to [n, d_in]; never a dense code."""
    return F.embedding_bag(code.latent_indices, W_dec, per_sample_weights=code.latent_acts, mode="sum")


def select_topk(pre_acts: torch.Tensor, k: int) -> SparseCode:
    """The k largest positive entries of `pre_acts` [n, num_latents]; slots without one hold act 0 and index 0."""
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
    """All positive entries of `acts` [n, num_latents], in a code as wide as its fullest row."""
    width = int((acts > 0).sum(1).max()) if len(acts) else 0
    return select_topk(acts, max(width, 1))
