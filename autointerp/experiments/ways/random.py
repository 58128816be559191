"""The control of every way that adds something: random directions of the same norm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from autointerp.diffusion.description import Described
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.experiments.ways.pair import Adding, Dose, EditPair


class RandomDirection:
    """Add to each cell, at each step, as much as another way adds, along one random direction of the case.

    Args:
        way: The way whose norms are taken.
    """

    def __init__(self, way: Adding) -> None:
        self.way = way

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the layer of the other way."""
        return self.way.layer(layer, model)

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """Return what is added, float32 [steps, cells, d_in]; the direction follows from the case and the layer."""
        import torch

        norms = self.way.added(pair, layer, dose).norm(dim=-1, keepdim=True)
        digest = hashlib.sha256(f"{pair.key} {layer.hookpoint}".encode()).digest()
        draw = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        direction = torch.randn(layer.d_in, generator=draw).to(norms.device)
        return norms * (direction / direction.norm())

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """See `EditWay`."""
        return pair.adding(layer, self.added(pair, layer, dose), images)
