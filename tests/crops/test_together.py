from __future__ import annotations

import numpy as np

from autointerp.crops.maxima import SampledCells
from autointerp.crops.together import CellSample


def sampled(rows: list[list[int]]) -> SampledCells:
    count = len(rows)
    index = np.arange(count)
    lengths, latents = np.array([len(row) for row in rows]), np.array([one for row in rows for one in row], np.int32)
    return SampledCells(index, index * 0, index * 0, index.astype(np.uint64), lengths, latents)


def test_neighbours_share_at_least_two_cells_and_are_ranked_by_jaccard() -> None:
    sample = CellSample(100, 0)
    sample.update(sampled([[0, 1], [0, 1, 2], [0, 2], [3, 0], [1]]))
    found = sample.neighbours(4, 5)
    # Features 0 and 1 share two of five cells, 0 and 2 two of four; 3 shares one, which may be chance.
    assert [feature for feature, _ in found[0]] == [2, 1]
    np.testing.assert_allclose([share for _, share in found[0]], [2 / 4, 2 / 5])
    assert found[3] == []
    assert [feature for feature, _ in sample.neighbours(4, 1)[0]] == [2]


def test_the_sample_is_bounded_and_chosen_by_hash() -> None:
    sample = CellSample(8, 1)
    rows, keys = sample.choose(np.array([4, 9]), 16, 2)
    assert rows.tolist() == list(range(32))
    assert len(set(keys.tolist())) == 32
    cells = SampledCells(
        np.repeat([4, 9], 16), rows * 0 + 2, rows % 16, keys, np.ones(32, np.int64), np.zeros(32, np.int32)
    )
    sample.update(cells)
    sample.entries.settle()
    assert sorted(sample.entries.fields["key"].tolist()) == sorted(keys.tolist())[:8]
    later, _ = sample.choose(np.array([4, 9]), 16, 2)
    assert len(later) == 8
