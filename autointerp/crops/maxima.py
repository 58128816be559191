"""From sparse codes to each feature's maximum per image: the reduction that makes a harvest small.

The only module of this room that sees torch. It works on the device that the code is on. What leaves it is NumPy,
grows with what fired, and holds activation maps of those images alone that may yet be kept; no dense
[cells, num_latents] code ever exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.maps import to_half
from autointerp.crops.ragged import pick, starts_of

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import SparseCode

SUM_SCALE = 2.0**20
"""Sums of activations are kept in units of 1 / SUM_SCALE as integers: then no order of adding changes them."""
LEVELS = 64
"""Levels of the histogram of activations: half octaves from 2**-16 to 2**16, with edges at 2**e and 1.5 * 2**e."""
_LOWEST = 2 * (127 - 16)

Keep = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(feature, image, activation), each [n] -> which of them may yet be kept, bool [n]."""


@dataclass(frozen=True)
class SampledCells:
    """Cells with all that fires in them, to know which features fire together.

    `image`, `step`, `cell`, `key`, `length` [n]; `latents` int32 [sum of length], strongest first.
    """

    image: np.ndarray
    step: np.ndarray
    cell: np.ndarray
    key: np.ndarray
    length: np.ndarray
    latents: np.ndarray


@dataclass(frozen=True)
class BatchMaxima:
    """What a batch of images says about every feature that fired in it.

    One entry for each (feature, image) that fired, sorted by both: `feature`, `image` int64 [n]; `activation`
    float32 [n], the maximum, at `step` and `cell` (row * cols + col) int32 [n], the first of equals; `length` int32
    [n] active cells at that step, whose indices and activations lie end to end in `cells` uint16 and `values`
    float16 [sum of length]. An entry that cannot be kept any more has length 0 and no map.

    Totals over all cells and steps: `active` int64 [n] cells of this feature and image, and `total` int64 [n] their
    activations in units of 1 / SUM_SCALE. `level` int64 [m] is feature * LEVELS + level of an activation, `at_level`
    int64 [m] how many cells are on it. `images` int64 [batch] lists all images, fired in or not; `cells_seen` is the
    number of cells and steps that were looked at.
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
    """Reduce one layer's code of one step.

    Args:
        code: acts and indices [len(images) * rows * cols, k], images after each other, cells row by row.
        images: Index of each image of the batch, all different.
        grid: (rows, cols).
        step: 0-based denoising step.
        num_latents: Size of the dictionary.
        keep: Which entries may yet be kept; only these bring their activation maps. None keeps all.

    Raises:
        ValueError: The shapes do not fit, an activation is no number, or an index is out of range.
    """
    import torch

    acts, indices = code.latent_acts.detach().float(), code.latent_indices
    if acts.device.type == "mps":
        acts, indices = acts.cpu(), indices.cpu()  # What follows is done in 64-bit integers.
    tokens, count = grid[0] * grid[1], len(images)
    if acts.shape != indices.shape or len(acts) != count * tokens:
        raise ValueError(f"a code of shape {tuple(acts.shape)} is not that of {count} images of {tokens} cells")
    if len(set(images)) != count:
        raise ValueError("an image is in the batch twice")
    order = np.argsort(np.asarray(images, np.int64), kind="stable")
    sorted_images = np.asarray(images, np.int64)[order]
    token, slot = torch.nonzero(acts != 0, as_tuple=True)
    found, feature = acts[token, slot], indices[token, slot].long()
    if not len(found):
        return _empty(grid, sorted_images, count * tokens)
    if not torch.isfinite(found.sum()) or found.min() < 0:
        raise ValueError("a code has negative activations, or activations that are no numbers")
    if feature.min() < 0 or feature.max() >= num_latents:
        raise ValueError(f"a code has indices outside of 0 to {num_latents - 1}")
    place = torch.empty(count, dtype=torch.int64)
    place[torch.from_numpy(order)] = torch.arange(count)
    # Stable, so that cells stay in ascending order within a feature and image.
    key, by_key = torch.sort(feature * count + place.to(acts.device)[token // tokens], stable=True)
    value, cell = found[by_key], token[by_key] % tokens
    entry, entry_of, length = torch.unique_consecutive(key, return_inverse=True, return_counts=True)
    best = value.new_zeros(len(entry)).scatter_reduce_(0, entry_of, value, "amax")
    # The first cell that reaches the maximum.
    reaching = torch.where(value == best[entry_of], cell, tokens)
    first = cell.new_full((len(entry),), tokens).scatter_reduce_(0, entry_of, reaching, "amin")
    # Scaling by a power of two is exact in float32, and so is rounding what comes of it.
    units = (value * SUM_SCALE).round().long()
    total = units.new_zeros(len(entry)).index_add_(0, entry_of, units)
    level, at_level = torch.unique(key // count * LEVELS + _levels(value), return_counts=True)

    entries, activation, lengths = (t.cpu().numpy() for t in (entry, best, length))
    of_feature, of_image = entries // count, sorted_images[entries % count]
    mapped = lengths.astype(np.int32)
    if keep is not None:
        kept = keep(of_feature, of_image, activation)
        mapped = np.where(kept, mapped, np.int32(0))
        inside = torch.from_numpy(kept).to(acts.device)[entry_of]
        cell, value = cell[inside], value[inside]
    return BatchMaxima(
        grid=grid,
        images=sorted_images,
        cells_seen=count * tokens,
        feature=of_feature,
        image=of_image,
        activation=activation,
        step=np.full(len(entries), step, np.int32),
        cell=first.cpu().numpy().astype(np.int32),
        length=mapped,
        active=lengths,
        total=total.cpu().numpy(),
        cells=cell.cpu().numpy().astype(np.uint16),
        values=to_half(value.cpu().numpy()),
        level=level.cpu().numpy(),
        at_level=at_level.cpu().numpy(),
    )


def _levels(value: torch.Tensor) -> torch.Tensor:
    """Which level of the histogram each positive float32 is on, int64 [n]; beyond the ends is the last one."""
    import torch

    # Exponent and first bit of the mantissa count half octaves, exactly and the same on every device.
    return ((value.contiguous().view(torch.int32) >> 22).long() - _LOWEST).clamp(0, LEVELS - 1)


def level_edges() -> np.ndarray:
    """The lower edge of every level of the histogram, float64 [LEVELS]."""
    half = np.arange(LEVELS)
    return np.asarray(2.0 ** (half // 2 - 16) * np.where(half % 2, 1.5, 1.0))


def combine(parts: Sequence[BatchMaxima]) -> BatchMaxima:
    """One batch's maxima over several steps: of each feature and image the largest, of equals the earliest step.

    Every part covers the same images; without that an image's maximum could be counted twice.

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
    code: SparseCode, rows: np.ndarray, image: np.ndarray, step: int, cell: np.ndarray, key: np.ndarray, most: int
) -> SampledCells:
    """What fires in some cells of a code.

    Args:
        code: acts and indices [n, k], largest first.
        rows: Which rows of it, int64 [m].
        image: Image of each, int64 [m].
        step: 0-based denoising step.
        cell: Cell of each, [m].
        key: Of each, uint64 [m].
        most: Latents of a cell to note, the strongest first.
    """
    import torch

    at = torch.from_numpy(rows).to(code.latent_indices.device)
    fired = (code.latent_acts[at][:, :most] > 0).cpu().numpy()
    latents = code.latent_indices[at][:, :most].cpu().numpy().astype(np.int32)
    return SampledCells(
        image, np.full(len(rows), step, np.int32), cell.astype(np.int32), key, fired.sum(1), latents[fired]
    )


def _empty(grid: tuple[int, int], images: np.ndarray, cells_seen: int) -> BatchMaxima:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return BatchMaxima(
        grid, images, cells_seen, wide, wide, np.zeros(0, np.float32), narrow, narrow, narrow, wide, wide,
        np.zeros(0, np.uint16), np.zeros(0, np.float16), wide, wide,
    )  # fmt: skip
