"""Edits that replace cells: another picture's activations in the place of the cells' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.description import Described
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.ways.pair import Dose, EditPair


class Patch:
    """Put the other picture's activations into the cells of the region, step by step.

    The residual stream after the layer is replaced, whatever signal the layer has: what earlier blocks wrote about the
    cells is replaced too.
    """

    def __init__(self, dictionary: Dictionary | None = None) -> None:
        del dictionary

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the layer's output."""
        del model
        return replace(layer, signal="output")

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        from autointerp.diffusion.edits import Edit, put_cells

        del dose
        _, target = pair.acts(layer)
        values = dict(zip(pair.steps, target, strict=True))
        return [Edit(layer, put_cells(values), pair.steps, pair.mask(layer), images=images)]
