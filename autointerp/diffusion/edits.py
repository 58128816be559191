"""Edits: changes of activations during a pass. All interventions on a model are edits; `editing` makes them.

An edit says where it happens (a layer with its signal and stream, steps, cells, images, branch) and what changes there.

An edit of a feature adds (new activation - old activation) x direction. So the part of the activations that the
dictionary leaves unexplained stays, and an edit that changes no feature changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from autointerp.diffusion.layers import Layer
from autointerp.errors import UsageError, nearest

Branch = Literal["conditional", "unconditional", "both"]
CellBox = tuple[int, int, int, int]
"""(first row, first column, end row, end column) in cells, ends exclusive."""
ChangeActivations = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [images, cells, d_in], denoising step) -> a tensor of the same shape."""
ReadFeature = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [n, d_in], denoising step) -> a feature's activations, float [n]."""
CellValues = Mapping[int, torch.Tensor]
"""Denoising step -> a vector for each addressed cell, float [cells, d_in], or one for all of them, float [1, d_in]."""


@dataclass(frozen=True)
class Change:
    """A change of activations.

    Attributes:
        function: Computes the new activations or, where `adds`, the tensor to add.
        adds: Whether the result is added to the activations instead of replacing them.
    """

    function: ChangeActivations
    adds: bool = False


def replace(function: ChangeActivations) -> Change:
    """Replace activations, e.g. by a dictionary's reconstruction; the reconstruction error is dropped."""
    return Change(function)


def zeroed(acts: torch.Tensor, _step: int) -> torch.Tensor:
    """Zero-ablate: leave out a layer's `update`, or set its `output` to zero."""
    return torch.zeros_like(acts)


def add_vector(vector: torch.Tensor) -> Change:
    """Add a vector [d_in] in every addressed cell."""
    return Change(lambda acts, _step: vector.to(acts).expand(*acts.shape[:-1], -1), adds=True)


def add_cells(values: CellValues) -> Change:
    """Add to each addressed cell a vector of its own at each step. A step without values stays as it is."""

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        return values[step].to(acts).expand_as(acts) if step in values else torch.zeros_like(acts)

    return Change(function, adds=True)


def put_cells(values: CellValues) -> Change:
    """Put other activations in the place of each addressed cell's (activation patching).

    The values come from another picture, as a rule (see `recording`). A step without values stays as it is.
    """

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        return values[step].to(acts).expand_as(acts) if step in values else acts

    return Change(function)


def change_feature(read: ReadFeature, direction: torch.Tensor, new: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """Change a feature's activation by a function.

    Args:
        read: Computes the feature's activation from activations of the layer.
        direction: The feature's direction in raw activation space, [d_in].
        new: Maps old activations [n] to new ones.
    """

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        old = read(acts.reshape(-1, acts.shape[-1]), step)
        return ((new(old) - old)[:, None] * direction.to(acts)).reshape(*acts.shape[:-1], -1)

    return Change(function, adds=True)


def scale_feature(read: ReadFeature, direction: torch.Tensor, factor: float) -> Change:
    """Multiply a feature's activation: 0 ablates the feature, 1 changes nothing."""
    return change_feature(read, direction, lambda old: factor * old)


def clamp_feature(
    read: ReadFeature, direction: torch.Tensor, least: float | None = None, most: float | None = None
) -> Change:
    """Clamp a feature's activation between two bounds; equal bounds set it."""
    return change_feature(read, direction, lambda old: old.clamp(least, most))


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of one layer's activations, and where it happens.

    Attributes:
        layer: The layer. Under the signal `update`, `change` is given the part that the block adds; under `map` the
            module's input and output side by side, and what it returns is the new output, or ends with it.
        change: The change.
        steps: 0-based denoising steps; None for all.
        cells: A box, or a bool mask [rows, cols] of the layer's grid; None for all cells.
        branch: The branch of guidance whose activations are changed.
        images: Numbers of the images that are changed (`ImageJob.index`); None for all. So each image of a batch may
            have edits of its own.

    Raises:
        UsageError: The cells do not lie in the layer's grid, or there is no such branch.
    """

    layer: Layer
    change: Change
    steps: Collection[int] | None = None
    cells: CellBox | torch.Tensor | None = None
    branch: Branch = "conditional"
    images: Collection[int] | None = None

    def __post_init__(self) -> None:
        if self.branch not in get_args(Branch):
            raise UsageError(f"there is no branch {self.branch!r}", nearest(self.branch, get_args(Branch)))
        self.tokens()

    def tokens(self) -> torch.Tensor | None:
        """Return the indices of the addressed tokens, int64 [n]; None for all."""
        if self.cells is None:
            return None
        if isinstance(self.cells, torch.Tensor):
            if self.cells.dtype != torch.bool or tuple(self.cells.shape) != self.layer.grid:
                raise UsageError(
                    f"a mask of {self.cells.dtype} {list(self.cells.shape)} does not fit {self.layer.name}",
                    f"give a bool mask of its grid {list(self.layer.grid)}",
                )
            mask = self.cells
        else:
            mask = box_mask(self.cells, self.layer)
        return mask.reshape(-1).nonzero().squeeze(1)


def box_mask(box: CellBox, layer: Layer) -> torch.Tensor:
    """Return the cells of a box as a mask, bool [rows, cols].

    Raises:
        UsageError: The box is empty, or does not lie in the layer's grid.
    """
    rows, cols = layer.grid
    top, left, bottom, right = box
    if not (0 <= top < bottom <= rows and 0 <= left < right <= cols):
        raise UsageError(
            f"the box {','.join(map(str, box))} does not lie in the {rows}x{cols} cells of {layer.name}",
            f"give R0,C0,R1,C1, ends exclusive; the whole grid is 0,0,{rows},{cols}",
        )
    mask = torch.zeros(rows, cols, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask
