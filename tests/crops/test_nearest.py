from __future__ import annotations

import numpy as np
import torch

from autointerp.crops.maxima import reduce_batch
from autointerp.crops.nearest import HardNegatives, NearestLatents
from autointerp.dictionaries.protocol import SparseCode


def test_a_hard_negative_is_where_a_like_feature_fires_and_this_one_is_silent() -> None:
    nearest = NearestLatents(np.array([[1], [0], [0]], np.int32), np.array([[0.9], [0.9], [-0.2]], np.float32))
    hard = HardNegatives(nearest, 2)
    # Image 4: feature 1 alone fires; image 5: both do; image 6: feature 0 alone.
    code = SparseCode(torch.tensor([[3.0, 0.0], [2.0, 1.0], [4.0, 0.0]]), torch.tensor([[1, 0], [1, 0], [0, 0]]))
    maxima = reduce_batch(code, [4, 5, 6], (1, 1), 0, 3)
    hard.update(maxima, np.zeros(len(maxima.feature), np.int64))
    hard.entries.settle()
    fields = hard.entries.fields
    found = list(zip((fields["group"] // 2).tolist(), fields["image"].tolist(), fields["cell"].tolist(), strict=True))
    assert found == [(0, 4, 1), (1, 6, 0)]
    np.testing.assert_allclose(fields["activation"], [2.7, 3.6], rtol=1e-6)


def test_without_neighbours_there_are_none() -> None:
    hard = HardNegatives(NearestLatents.none(3), 2)
    maxima = reduce_batch(SparseCode(torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int64)), [0], (1, 1), 0, 3)
    hard.update(maxima, np.zeros(1, np.int64))
    hard.entries.settle()
    assert len(hard.entries.fields["image"]) == 0


def test_orthogonal_directions_are_no_neighbours() -> None:
    """The cosines of components are rounding, which would choose others on another device."""
    rounding = np.array([[3e-8], [1e-6]], np.float32)
    hard = HardNegatives(NearestLatents(np.array([[1], [0]], np.int32), rounding), 2)
    maxima = reduce_batch(SparseCode(torch.ones(1, 1), torch.zeros(1, 1, dtype=torch.int64)), [0], (1, 1), 0, 2)
    hard.update(maxima, np.zeros(len(maxima.feature), np.int64))
    hard.entries.settle()
    assert len(hard.entries.fields["image"]) == 0
