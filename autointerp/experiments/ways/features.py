"""Edits by the features of a dictionary that differ most inside the region."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autointerp.experiments.ways.contrast import activations_of, encoded, mean_activations, strongest

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.description import Described
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.ways.pair import Dose, EditPair


class _Features:
    """What ways by features share: the dictionary, and the choice of features."""

    def __init__(self, dictionary: Dictionary | None) -> None:
        if dictionary is None:
            raise ValueError("a way by features needs a dictionary")
        self.dictionary = dictionary

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the layer itself."""
        del model
        return layer

    def chosen(self, pair: EditPair, layer: Layer, k: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Choose features by contrast.

        Returns:
            The latents, int64 [k], and their activations in source and target, each float32 [steps, cells, k].
        """
        source, target = (encoded(self.dictionary, acts, pair.steps) for acts in pair.acts(layer))
        count = self.dictionary.num_latents
        contrast = mean_activations(target, count) - mean_activations(source, count)
        latents = strongest(contrast, self.dictionary.directions, k)
        return latents, activations_of(source, latents), activations_of(target, latents)


class _AddedFeatures(_Features):
    """Ways that add what the chosen features lack."""

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """Return what is added to each cell of the region, float32 [steps, cells or 1, d_in]."""
        raise NotImplementedError

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        return pair.adding(layer, self.added(pair, layer, dose), images)


class MeanFeatures(_AddedFeatures):
    """Add the features' mean difference, the same to every cell of the region."""

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """See `_AddedFeatures`."""
        latents, source, target = self.chosen(pair, layer, dose.k)
        missing = target.mean(1, keepdim=True) - source.mean(1, keepdim=True)
        return dose.strength * missing @ self.dictionary.directions[latents]


class CellFeatures(_AddedFeatures):
    """Add to each cell the features' difference in that cell."""

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """See `_AddedFeatures`."""
        latents, source, target = self.chosen(pair, layer, dose.k)
        return dose.strength * (target - source) @ self.dictionary.directions[latents]


class SetFeatures(_Features):
    """Set the features in each cell to what they are in the other picture, whatever they are when the step comes.

    A strength above 1 sets them to so many times the wanted activation.
    """

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        from autointerp.diffusion.edits import Change, Edit

        latents, _, target = self.chosen(pair, layer, dose.k)
        wanted = dict(zip(pair.steps, dose.strength * target, strict=True))
        directions = self.dictionary.directions[latents]

        def function(acts: torch.Tensor, step: int) -> torch.Tensor:
            code = self.dictionary.encode(acts.reshape(-1, acts.shape[-1]), step)
            now = activations_of([code], latents)[0].reshape(*acts.shape[:2], -1)
            return (wanted[step] - now) @ directions

        return [Edit(layer, Change(function, adds=True), pair.steps, pair.mask(layer), images=images)]
