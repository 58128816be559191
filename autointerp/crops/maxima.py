"""The reduction of sparse codes to each feature's maximum in each image, which makes a harvest small.

Results are NumPy arrays that grow with the number of activations. They hold activation maps of those images alone that
may yet be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.maps import to_half
from autointerp.crops.ragged import pick, starts_of
from autointerp.crops.reading import BatchCode, read_code

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import SparseCode

Keep = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""A function of (feature, image, activation, active cells), each [n], that returns which may yet be kept, bool [n]."""


@dataclass(frozen=True)
class SampledCells:
    """Sampled cells with the latents that fire in each, from which it follows which features fire together.

    `image`, `step`, `cell`, `key` and `length` are [n]. `latents` is int32 [sum of length], strongest first in each
    cell.
    """

    image: np.ndarray
    step: np.ndarray
    cell: np.ndarray
    key: np.ndarray
    length: np.ndarray
    latents: np.ndarray


@dataclass(frozen=True)
class BatchMaxima:
    """The maxima of every feature that fired in a batch of images.

    One entry for each (feature, image) that fired, sorted by both: `feature`, `image` int64 [n]; `activation`
    float32 [n], the maximum, at `step` and `cell` (row * cols + col) int32 [n], the first of equals; `length` int32
    [n] active cells at that step, whose indices and activations lie end to end in `cells` uint16 and `values`
    float16 [sum of length]. An entry that can no longer be kept has length 0 and no map.

    Totals over all cells and steps: `active` int64 [n] cells of this feature and image, and `total` int64 [n] their
    activations in units of 1 / SUM_SCALE. `level` int64 [m] is feature * LEVELS + level of an activation, `at_level`
    int64 [m] how many cells are on it. `images` int64 [batch] lists all images, fired in or not; `cells_seen` is the
    number of cells, over all steps, that were read.
    """

    grid: tuple[int, int]
    images: np.ndarray
    cells_seen: int
    feature: np.ndarray
    image: np.ndarray
    activation: np.ndarray
    step: np.ndarray
    cell: np.ndarray
    length: np.ndarray
    active: np.ndarray
    total: np.ndarray
    cells: np.ndarray
    values: np.ndarray
    level: np.ndarray
    at_level: np.ndarray


def reduce_batch(
    code: SparseCode,
    images: Sequence[int],
    grid: tuple[int, int],
    step: int,
    num_latents: int,
    keep: Keep | None = None,
) -> BatchMaxima:
    """Reduce a layer's code of one step of a batch.

    Args:
        code: acts and indices [len(images) * rows * cols, k], images after each other, cells row by row.
        images: Index of each image of the batch, all different.
        grid: (rows, cols).
        step: 0-based denoising step.
        num_latents: Size of the dictionary.
        keep: Says which entries may yet be kept; only these bring their activation maps. None keeps all.

    Raises:
        ValueError: The shapes do not fit, an activation is no number, or an index is out of range.
    """
    return reduce_read(read_code(code, len(images), grid[0] * grid[1], num_latents), images, grid, step, keep)


def reduce_read(
    read: BatchCode, images: Sequence[int], grid: tuple[int, int], step: int, keep: Keep | None = None
) -> BatchMaxima:
    """Reduce a code that was read; the rest as for `reduce_batch`."""
    numbers = np.asarray(images, np.int64)
    if len(np.unique(numbers)) != len(numbers):
        raise ValueError("an image is in the batch twice")
    image, seen = numbers[read.place], len(numbers) * read.tokens
    sorted_images = np.sort(numbers)
    if not len(image):
        return _empty(grid, sorted_images, seen)
    # A batch's images mostly come in ascending order; entries and their maps then lie as they shall.
    order = slice(None) if np.array_equal(numbers, sorted_images) else np.lexsort((image, read.latent))
    feature, image, activation, length = (a[order] for a in (read.latent, image, read.activation, read.length))
    begins = starts_of(read.length)[order]
    mapped = length if keep is None else np.where(keep(feature, image, activation, length), length, 0)
    kept = pick(begins, mapped)
    return BatchMaxima(
        grid=grid,
        images=sorted_images,
        cells_seen=seen,
        feature=feature,
        image=image,
        activation=activation,
        step=np.full(len(feature), step, np.int32),
        cell=read.cell[order],
        length=mapped.astype(np.int32),
        active=length,
        total=read.total[order],
        cells=read.cells[kept].astype(np.uint16),
        values=to_half(read.values[kept]),
        level=read.level,
        at_level=read.at_level,
    )


def combine(parts: Sequence[BatchMaxima]) -> BatchMaxima:
    """Join the maxima of several steps of one batch: the largest of each feature and image, the earliest of equal ones.

    All parts cover the same images. Otherwise an image's maximum could be counted twice.

    Raises:
        ValueError: The parts are of different images or grids, or there is none.
    """
    if not parts:
        raise ValueError("there is nothing to combine")
    if len(parts) == 1:
        return parts[0]
    one = parts[0]
    if any(not np.array_equal(p.images, one.images) or p.grid != one.grid for p in parts):
        raise ValueError("the parts are not of the same images")
    names = ("feature", "image", "activation", "step", "cell", "length", "active", "total")
    joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
    starts = starts_of(joined["length"])
    order = np.lexsort((joined["cell"], joined["step"], -joined["activation"], joined["image"], joined["feature"]))
    feature, image = joined["feature"][order], joined["image"][order]
    cells_seen = sum(p.cells_seen for p in parts)
    if not len(order):
        return _empty(one.grid, one.images, cells_seen)
    begins = np.flatnonzero(np.r_[True, (feature[1:] != feature[:-1]) | (image[1:] != image[:-1])])
    best = order[begins]
    kept = pick(starts[best], joined["length"][best])
    return BatchMaxima(
        grid=one.grid,
        images=one.images,
        cells_seen=cells_seen,
        feature=feature[begins],
        image=image[begins],
        activation=joined["activation"][best],
        step=joined["step"][best],
        cell=joined["cell"][best],
        length=joined["length"][best],
        active=np.add.reduceat(joined["active"][order], begins),
        total=np.add.reduceat(joined["total"][order], begins),
        cells=np.concatenate([p.cells for p in parts])[kept],
        values=np.concatenate([p.values for p in parts])[kept],
        level=np.concatenate([p.level for p in parts]),
        at_level=np.concatenate([p.at_level for p in parts]),
    )


def sample_cells(
    read: BatchCode, rows: np.ndarray, image: np.ndarray, step: int, cell: np.ndarray, key: np.ndarray, most: int
) -> SampledCells:
    """Note the latents that fire in some cells of a code.

    Args:
        read: The code.
        rows: Rows of the code, int64 [m].
        image: Image of each row, int64 [m].
        step: 0-based denoising step.
        cell: Cell of each row, [m].
        key: Key of each row, uint64 [m].
        most: Latents of a cell that are noted, the strongest first, of equal ones the lower index.
    """
    import torch

    steps, cell = np.full(len(rows), step, np.int32), cell.astype(np.int32)
    if read.code is not None:
        at = torch.from_numpy(rows)
        fired = (read.code.latent_acts[at][:, :most] > 0).numpy()
        latents = read.code.latent_indices[at][:, :most].numpy().astype(np.int32)
        return SampledCells(image, steps, cell, key, fired.sum(1), latents[fired])
    wanted = np.full(read.count * read.tokens, -1)
    wanted[rows] = np.arange(len(rows))
    owner = wanted[np.repeat(read.place * read.tokens, read.length) + read.cells] if len(rows) else read.cells[:0]
    on = np.flatnonzero(owner >= 0)
    latent, owner = np.repeat(read.latent, read.length)[on] if len(on) else on, owner[on]
    # Positive floats have the order of their bits. Cells come by latent, so a stable sort puts equal ones by latent.
    rank = torch.from_numpy((owner << 32) + (2**31 - read.values[on].view(np.int32).astype(np.int64)))
    order = rank.sort(stable=True).indices.numpy()
    latent, owner = latent[order], owner[order]
    strongest = np.arange(len(owner)) - np.searchsorted(owner, owner) < most
    length = np.bincount(owner[strongest], minlength=len(rows))
    return SampledCells(image, steps, cell, key, length, latent[strongest].astype(np.int32))


def _empty(grid: tuple[int, int], images: np.ndarray, cells_seen: int) -> BatchMaxima:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return BatchMaxima(
        grid, images, cells_seen, wide, wide, np.zeros(0, np.float32), narrow, narrow, narrow, wide, wide,
        np.zeros(0, np.uint16), np.zeros(0, np.float16), wide, wide,
    )  # fmt: skip
