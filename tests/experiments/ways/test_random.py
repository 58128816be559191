"""Random directions have the norm of what another way adds, and follow from the case alone."""

from __future__ import annotations

import torch

from autointerp.experiments.ways.features import CellFeatures
from autointerp.experiments.ways.pair import Dose
from autointerp.experiments.ways.random import RandomDirection
from tests.experiments.ways.pairs import LAYER, added_by, identity_sae, random_pair


def test_norms_are_those_of_the_way_and_the_direction_is_of_the_case() -> None:
    features = CellFeatures(identity_sae())
    way = RandomDirection(features)
    pair, other = random_pair(), random_pair(key="color-9")
    added = way.added(pair, LAYER, Dose(3, 2.0))
    assert torch.allclose(added.norm(dim=-1), features.added(pair, LAYER, Dose(3, 2.0)).norm(dim=-1), atol=1e-5)
    assert torch.equal(added, RandomDirection(features).added(pair, LAYER, Dose(3, 2.0)))
    (edit,) = way.edits(pair, LAYER, Dose(3, 2.0), (0,))
    assert torch.equal(added_by(edit, 2), added[1])
    unit = torch.nn.functional.normalize(added, dim=-1)
    # One direction for all cells and steps of a case, another one for another case.
    assert torch.allclose(unit, unit[0, 0].expand_as(unit), atol=1e-5)
    again = torch.nn.functional.normalize(way.added(other, LAYER, Dose(3, 2.0)), dim=-1)
    assert abs(float(unit[0, 0] @ again[0, 0])) < 0.95
