"""Edits by the difference of mean activations, without any dictionary."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.description import Described
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.ways.pair import Dose, EditPair


class DifferenceOfMeans:
    """Add the difference of the mean activations inside the region, step by step, to every cell of it."""

    def __init__(self, dictionary: Dictionary | None = None) -> None:
        del dictionary

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the layer itself."""
        del model
        return layer

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """Return what is added to every cell, float32 [steps, 1, d_in]."""
        source, target = pair.acts(layer)
        return dose.strength * (target.mean(1, keepdim=True) - source.mean(1, keepdim=True))

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        return pair.adding(layer, self.added(pair, layer, dose), images)
