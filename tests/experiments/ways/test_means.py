"""The difference of means, the same in every cell of the region."""

from __future__ import annotations

import torch

from autointerp.experiments.ways.means import DifferenceOfMeans
from autointerp.experiments.ways.pair import Dose
from tests.experiments.ways.pairs import LAYER, STEPS, added_by, random_pair


def test_the_difference_of_means_is_added_step_by_step() -> None:
    pair = random_pair()
    (edit,) = DifferenceOfMeans().edits(pair, LAYER, Dose(1, 2.0), (0,))
    source, target = pair.acts(LAYER)
    for at, step in enumerate(STEPS):
        expected = 2 * (target[at].mean(0) - source[at].mean(0))
        assert torch.allclose(added_by(edit, step), expected.expand(3, 8), atol=1e-6)
