"""Edits by features: what they add is what the chosen features differ by, and no more."""

from __future__ import annotations

import pytest
import torch

from autointerp.experiments.ways.features import CellFeatures, MeanFeatures, SetFeatures
from autointerp.experiments.ways.pair import Dose
from tests.experiments.ways.pairs import CELLS, LAYER, STEPS, added_by, identity_sae, pair_of, random_pair


def test_all_features_cell_by_cell_are_the_whole_difference() -> None:
    pair = random_pair()
    (edit,) = CellFeatures(identity_sae(8)).edits(pair, LAYER, Dose(8), (0,))
    source, target = pair.acts(LAYER)
    for at, step in enumerate(STEPS):
        assert torch.allclose(added_by(edit, step), target[at] - source[at], atol=1e-6)


def test_few_features_are_those_of_the_largest_contrast() -> None:
    source, target = torch.zeros(2, 2, 6, 8)
    target[:, list(CELLS), 5] = 3.0
    target[:, list(CELLS), 1] = 1.0
    source[:, list(CELLS), 2] = 2.0
    target[:, 1, 0] = 99.0  # A cell outside of the region does not count.
    pair = pair_of(source, target)
    way = CellFeatures(identity_sae())
    expected = torch.zeros(3, 8)
    expected[:, 5], expected[:, 2] = 3.0, -2.0
    (edit,) = way.edits(pair, LAYER, Dose(2), (0,))
    assert torch.allclose(added_by(edit, 0), expected)
    (twice,) = way.edits(pair, LAYER, Dose(2, 2.0), (0,))
    assert torch.allclose(added_by(twice, 2), 2 * expected)


def test_the_mean_difference_is_the_same_in_every_cell() -> None:
    pair = random_pair()
    (edit,) = MeanFeatures(identity_sae(8)).edits(pair, LAYER, Dose(8, 1.5), (0,))
    source, target = pair.acts(LAYER)
    expected = 1.5 * (target[1].mean(0) - source[1].mean(0))
    assert torch.allclose(added_by(edit, 2), expected.expand(3, 8), atol=1e-6)


def test_features_are_set_whatever_they_are_when_the_step_comes() -> None:
    pair = random_pair()
    (edit,) = SetFeatures(identity_sae(8)).edits(pair, LAYER, Dose(8), (0,))
    _, target = pair.acts(LAYER)
    now = torch.rand(1, 3, 8, generator=torch.Generator().manual_seed(9))
    assert edit.change.adds
    assert torch.allclose(now + edit.change.function(now, 2), target[1:], atol=1e-5)


def test_a_way_by_features_needs_a_dictionary() -> None:
    with pytest.raises(ValueError, match="needs a dictionary"):
        CellFeatures(None)
