"""What every way of editing starts from: a picture, the picture that it is to become like, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import torch

    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.description import Described
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.recording import Recording


@dataclass(frozen=True, eq=False)
class EditPair:
    """Two pictures of one seed, and the cells in which the first is to become like the second.

    Attributes:
        key: The name of the case; what is drawn at random follows from it.
        source: The picture that is edited.
        target: The picture that it is to become like.
        region: The cells, bool [rows, cols] of any grid.
        steps: 0-based denoising steps at which the edit happens.
    """

    key: str
    source: Recording
    target: Recording
    region: np.ndarray
    steps: tuple[int, ...]

    def mask(self, layer: Layer) -> torch.Tensor:
        """Return the region on a layer's grid, bool [rows, cols]: each of its cells takes the nearest cell's value."""
        # Imported on use: the command line reads the registry of ways.
        import numpy as np
        import torch

        rows, cols = (
            (2 * np.arange(n) + 1) * size // (2 * n) for n, size in zip(layer.grid, self.region.shape, strict=True)
        )
        return torch.from_numpy(self.region[np.ix_(rows, cols)])

    def acts(self, layer: Layer) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's activations in the region, of source and target, each float32 [steps, cells, d_in]."""
        inside = self.mask(layer).reshape(-1)
        source, target = (one.of(layer, self.steps) for one in (self.source, self.target))
        inside = inside.to(source.device)
        return source[:, inside], target[:, inside]

    def adding(self, layer: Layer, added: torch.Tensor, images: Sequence[int]) -> list[Edit]:
        """Return the edit that adds vectors, float [steps, cells of the region or 1, d_in], at the pair's steps."""
        from autointerp.diffusion.edits import Edit, add_cells

        values = dict(zip(self.steps, added, strict=True))
        return [Edit(layer, add_cells(values), self.steps, self.mask(layer), images=images)]


@dataclass(frozen=True)
class Dose:
    """How much a way changes.

    Attributes:
        k: How many features it changes; ways without features take no notice.
        strength: The factor of what is added.
    """

    k: int = 32
    strength: float = 1.0


class EditWay(Protocol):
    """A way of making edits at one layer."""

    def layer(self, layer: Layer, model: Described) -> Layer:
        """Return the layer, stream or hidden units that the way reads and changes, of a layer that people name."""
        ...

    def edits(self, pair: EditPair, layer: Layer, dose: Dose, images: Sequence[int]) -> list[Edit]:
        """Make the edits of a pair.

        Args:
            pair: The pictures and the region.
            layer: What `layer` gave.
            dose: How much is changed.
            images: Numbers of the images that get the edits (`ImageJob.index`).
        """
        ...


class Adding(EditWay, Protocol):
    """A way that adds what does not depend on the run that is edited."""

    def added(self, pair: EditPair, layer: Layer, dose: Dose) -> torch.Tensor:
        """Return what is added to each cell of the region, float32 [steps, cells or 1, d_in]."""
        ...


class WayMaker(Protocol):
    """The class of a way, as experiments use it."""

    def __call__(self, dictionary: Dictionary | None) -> EditWay:
        """Make the way, with the dictionary that its row asks for."""
        ...
