"""Baselines that go through the same path as a fitted dictionary: what a figure is worth is what it beats."""

from __future__ import annotations

import torch

from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.topk import TopK


class RandomDirections(TopK):
    """Random unit directions in normalised space, read out by inner product, the k largest kept.

    Nothing is fitted but the normalisation, so what these features are about is what any projection of the layer
    would be about. `num_latents` may exceed `d_in`.
    """

    kind = "random"

    @classmethod
    def draw(cls, normalization: Normalization, num_latents: int, k: int, seed: int) -> RandomDirections:
        """Draw `num_latents` directions for a layer whose `normalization` was measured."""
        d_in = len(normalization.mean)
        draw = torch.Generator().manual_seed(seed)
        directions = torch.nn.functional.normalize(torch.randn(num_latents, d_in, generator=draw), dim=1)
        folded = normalization.fold(directions.T, torch.zeros(num_latents), directions, torch.zeros(d_in))
        W_enc, b_enc, W_dec, b_dec = (t.contiguous() for t in folded)
        return cls(W_enc, b_enc, W_dec, b_dec, k)
