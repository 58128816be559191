"""The region of a pair on the grid of any layer."""

from __future__ import annotations

import dataclasses

import torch

from tests.experiments.ways.pairs import CELLS, LAYER, STEPS, added_by, random_pair


def test_activations_are_those_of_the_regions_cells() -> None:
    pair = random_pair()
    source, target = pair.acts(LAYER)
    assert source.shape == target.shape == (2, 3, 8)
    for at, step in enumerate(STEPS):
        assert torch.equal(source[at], pair.source.acts[LAYER, step][list(CELLS)])
        assert torch.equal(target[at], pair.target.acts[LAYER, step][list(CELLS)])


def test_a_region_fits_layers_of_other_grids() -> None:
    pair = random_pair()
    fine = dataclasses.replace(LAYER, grid=(4, 6))
    expected = torch.tensor([[1, 1, 0, 0, 1, 1]] * 2 + [[0, 0, 0, 0, 1, 1]] * 2, dtype=torch.bool)
    assert torch.equal(pair.mask(fine), expected)
    assert pair.mask(dataclasses.replace(LAYER, grid=(1, 3))).shape == (1, 3)


def test_what_is_added_reaches_the_region_alone_at_the_pairs_steps() -> None:
    pair = random_pair()
    values = torch.arange(48.0).reshape(2, 3, 8)
    (edit,) = pair.adding(LAYER, values, (4,))
    assert (edit.steps, edit.images) == (STEPS, (4,))
    assert edit.tokens().tolist() == list(CELLS)
    assert torch.equal(added_by(edit, 2), values[1])
