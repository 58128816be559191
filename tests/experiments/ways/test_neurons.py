"""Edits by hidden units: the units of the largest contrast, and no other."""

from __future__ import annotations

import torch

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.layers import resolve_layer
from autointerp.experiments.ways.neurons import CellNeurons
from autointerp.experiments.ways.pair import Dose
from tests.experiments.ways.pairs import CELLS, LAYER, added_by, pair_of


def test_units_of_the_largest_contrast_move_cell_by_cell() -> None:
    source, target = torch.zeros(2, 2, 6, 8)
    target[:, :, 3] = torch.arange(6.0)
    source[:, :, 6] = 1.0
    target[:, :, 0] = 0.5
    (edit,) = CellNeurons().edits(pair_of(source, target), LAYER, Dose(2, 2.0), (0,))
    expected = torch.zeros(3, 8)
    expected[:, 3], expected[:, 6] = 2 * torch.tensor([float(c) for c in CELLS]), -2.0
    assert torch.allclose(added_by(edit, 2), expected)


def test_the_layer_is_that_of_the_hidden_units() -> None:
    model = describe_model("shapes-turbo")
    layer = resolve_layer(model, "mid")
    hidden = CellNeurons().layer(layer, model)
    assert hidden.hookpoint != layer.hookpoint
    assert hidden.hookpoint.startswith(layer.hookpoint)
    assert hidden.d_in == 4 * layer.d_in
