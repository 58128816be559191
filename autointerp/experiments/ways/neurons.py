"""Edits by the hidden units of the layer's MLP, as they are: the baseline that any dictionary must beat."""

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


class CellNeurons:
    """Add to each cell the difference of those hidden units whose means differ most inside the region."""

    def __init__(self, dictionary: Dictionary | None = None) -> None:
        del dictionary

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the hidden units of the layer."""
        from autointerp.diffusion.layers import neurons_of

        return neurons_of(model, layer)

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """Return what is added to each cell, float32 [steps, cells, units]; `layer` is that of the hidden units."""
        import torch

        from autointerp.experiments.ways.contrast import strongest

        source, target = pair.acts(layer)
        contrast = target.mean(1) - source.mean(1)
        units = strongest(contrast, torch.ones(layer.d_in, 1, device=contrast.device), dose.k)
        added = torch.zeros_like(source)
        added[:, :, units] = dose.strength * (target - source)[:, :, units]
        return added

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        return pair.adding(layer, self.added(pair, layer, dose), images)
