"""Cells that are replaced by another picture's."""

from __future__ import annotations

import dataclasses

import torch

from autointerp.diffusion.describe import describe_model
from autointerp.experiments.ways.pair import Dose
from autointerp.experiments.ways.patch import Patch
from tests.experiments.ways.pairs import CELLS, LAYER, random_pair


def test_the_regions_cells_get_the_other_pictures_output() -> None:
    way = Patch()
    layer = way.layer(LAYER, describe_model("shapes"))
    assert layer == dataclasses.replace(LAYER, signal="output")
    pair = random_pair(layer)
    (edit,) = way.edits(pair, layer, Dose(), (2,))
    assert not edit.change.adds
    assert edit.tokens().tolist() == list(CELLS)
    new = edit.change.function(torch.zeros(1, 3, 8), 2)[0]
    assert torch.equal(new, pair.target.acts[layer, 2][list(CELLS)])
