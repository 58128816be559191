from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from autointerp.crops.levels import LEVELS, level_edges
from autointerp.crops.maxima import combine, reduce_batch, sample_cells
from autointerp.crops.reading import SUM_SCALE, read_code
from autointerp.dictionaries.protocol import SparseCode

ACTS = torch.tensor([[2.0, 1.0], [2.0, 0.0], [0.5, 0.0], [0.0, 0.0]])
"""Two images of two cells; latent 0 fires twice in the first, latent 1 once, latent 0 once in the second."""
INDICES = torch.tensor([[0, 1], [0, 0], [0, 0], [0, 0]])


def test_a_feature_has_its_first_largest_cell_and_exact_sums() -> None:
    found = reduce_batch(SparseCode(ACTS, INDICES), [8, 3], (1, 2), 5, 4)
    assert list(zip(found.feature.tolist(), found.image.tolist(), strict=True)) == [(0, 3), (0, 8), (1, 8)]
    assert found.activation.tolist() == [0.5, 2.0, 1.0]
    assert found.cell.tolist() == [0, 0, 0]
    assert found.active.tolist() == [1, 2, 1]
    assert (found.total / SUM_SCALE).tolist() == [0.5, 4.0, 1.0]
    assert found.step.tolist() == [5, 5, 5]
    assert found.cells_seen == 4
    edges = level_edges()
    levels = {int(level) % LEVELS: int(count) for level, count in zip(found.level, found.at_level, strict=True)}
    assert {float(edges[level]) for level in levels} == {0.5, 1.0, 2.0}


def test_of_several_steps_the_largest_counts_and_the_earliest_of_equals() -> None:
    parts = [
        reduce_batch(SparseCode(ACTS * scale, INDICES), [8, 3], (1, 2), step, 4)
        for scale, step in ((1, 2), (3, 4), (3, 6))
    ]
    joined = combine(parts)
    assert joined.activation.tolist() == [1.5, 6.0, 3.0]
    assert joined.step.tolist() == [4, 4, 4]
    assert (joined.total / SUM_SCALE).tolist() == [3.5, 28.0, 7.0]
    with pytest.raises(ValueError, match="nothing to combine"):
        combine([])
    with pytest.raises(ValueError, match="not of the same images"):
        combine([parts[0], reduce_batch(SparseCode(ACTS, INDICES), [1, 2], (1, 2), 5, 4)])


def test_sampled_cells_note_what_fires_strongest_first() -> None:
    rows = np.array([0, 1, 3])
    found = sample_cells(
        read_code(SparseCode(ACTS, INDICES), 2, 2, 4), rows, np.array([8, 8, 3]), 5, rows % 2, rows.astype(np.uint64), 8
    )
    assert found.length.tolist() == [2, 1, 0]
    assert found.latents.tolist() == [0, 1, 0]


def test_sampled_cells_are_the_same_where_the_code_lies_on_a_device() -> None:
    rng = np.random.default_rng(3)
    acts = rng.exponential(1.0, (24, 6)).astype(np.float32)
    acts[rng.random(acts.shape) < 0.3] = 0
    indices = np.argsort(rng.random((24, 20)), axis=1)[:, :6]
    order = np.argsort(-acts, axis=1)
    code = SparseCode(*(torch.from_numpy(np.take_along_axis(a, order, 1)) for a in (acts, indices)))
    read = read_code(code, 3, 8, 20)
    rows = np.array([1, 4, 9, 10, 23])
    given = (rows, rows // 8, 5, rows % 8, rows.astype(np.uint64), 3)
    here, there = sample_cells(read, *given), sample_cells(replace(read, code=None), *given)
    for name in ("image", "step", "cell", "key", "length", "latents"):
        assert np.array_equal(getattr(here, name), getattr(there, name)), name
    none = sample_cells(replace(read, code=None), rows[:0], rows[:0], 5, rows[:0], rows[:0].astype(np.uint64), 3)
    assert len(none.length) == len(none.latents) == 0


def test_images_of_a_batch_may_come_in_any_order() -> None:
    draw = torch.Generator().manual_seed(4)
    acts = torch.rand(12, 3, generator=draw) * (torch.rand(12, 3, generator=draw) > 0.3)
    indices = torch.rand(12, 9, generator=draw).argsort(1)[:, :3]
    sorted_ = reduce_batch(SparseCode(acts, indices), [3, 5, 8], (2, 2), 0, 9)
    turned = [2, 0, 1]
    mixed = [t.reshape(3, 4, 3)[turned].reshape(12, 3) for t in (acts, indices)]
    found = reduce_batch(SparseCode(*mixed), [8, 3, 5], (2, 2), 0, 9)
    for name in ("feature", "image", "activation", "cell", "length", "active", "total", "cells", "values", "images"):
        assert np.array_equal(getattr(sorted_, name), getattr(found, name)), name
