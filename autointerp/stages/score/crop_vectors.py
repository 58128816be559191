"""The vectors of crops for the embedding score: read from the index where they are in it, made where they are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.labeling.protocol import CropEvidence
from autointerp.project.context import Context
from autointerp.stages.index.opening import crop_vectors

if TYPE_CHECKING:
    from autointerp.search.vector_index import VectorIndex


class CropVectors:
    """Returns vectors of crops.

    Args:
        ctx: The command's view of the workspace, with its embedder.
        index: The index of crops. It holds top and quantile crops, and neither negatives nor cells that were drawn.
    """

    def __init__(self, ctx: Context, index: VectorIndex) -> None:
        self.ctx, self.index = ctx, index

    def __call__(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return unit vectors, float32 [n, dim]."""
        vectors = np.zeros((len(crops), self.ctx.embedder.dim), np.float32)
        is_indexed = np.array([crop.role in ("top", "quantile") for crop in crops], bool)
        vectors[is_indexed] = crop_vectors(self.index, [c for c, there in zip(crops, is_indexed, strict=True) if there])
        vectors[~is_indexed] = self.ctx.windows([c for c, there in zip(crops, is_indexed, strict=True) if not there])
        return vectors
