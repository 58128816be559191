"""From sparse codes to each feature's maximum per image: the reduction that makes a harvest small.

The only module of this room that sees torch. What leaves it is NumPy, grows with what fired, and no dense
[cells, num_latents] code ever exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from autointerp.crops.maps import to_half
from autointerp.crops.ragged import pick, starts_of

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import SparseCode

SUM_SCALE = 2.0**20
"""Sums of activations are kept in units of 1 / SUM_SCALE as integers: then no order of adding changes them."""


@dataclass(frozen=True)
class BatchMaxima:
    """What a batch of images says about every feature that fired in it.

    One entry for each (feature, image) that fired, sorted by both: `feature`, `image` int64 [n]; `activation`
    float32 [n], the maximum, at `step` and `cell` (row * cols + col) int32 [n], the first of equals; `length` int32
    [n] active cells at that step, whose indices and activations lie end to end in `cells` uint16 and `values`
    float16 [sum of length].

    Totals over all cells and steps: `active` int64 [n] cells of this feature and image, and `total` int64 [n] their
    activations in units of 1 / SUM_SCALE. `images` int64 [batch] lists all images, fired in or not; `cells_seen`
    is the number of cells and steps that were looked at.
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


def reduce_batch(
    code: SparseCode, images: Sequence[int], grid: tuple[int, int], step: int, num_latents: int
) -> BatchMaxima:
    """Reduce one layer's code of one step.

    Args:
        code: acts and indices [len(images) * rows * cols, k], images after each other, cells row by row.
        images: Index of each image of the batch, all different.
        grid: (rows, cols).
        step: 0-based denoising step.
        num_latents: Size of the dictionary.

    Raises:
        ValueError: The shapes do not fit, an activation is no number, or an index is out of range.
    """
    import torch

    acts, indices = code.latent_acts.detach().float(), code.latent_indices
    tokens = grid[0] * grid[1]
    if acts.shape != indices.shape or len(acts) != len(images) * tokens:
        raise ValueError(f"a code of shape {tuple(acts.shape)} is not that of {len(images)} images of {tokens} cells")
    if len(set(images)) != len(images):
        raise ValueError("an image is in the batch twice")
    order = np.argsort(np.asarray(images, np.int64), kind="stable")
    place = torch.empty(len(images), dtype=torch.int64)
    place[torch.from_numpy(order)] = torch.arange(len(images))
    token, slot = torch.nonzero(acts != 0, as_tuple=True)
    found, feature = acts[token, slot], indices[token, slot].long()
    if len(found) and (not torch.isfinite(found.sum()) or found.min() < 0):
        raise ValueError("a code has negative activations, or activations that are no numbers")
    if len(found) and (feature.min() < 0 or feature.max() >= num_latents):
        raise ValueError(f"a code has indices outside of 0 to {num_latents - 1}")
    # Stable, so that cells stay in ascending order within a feature and image.
    keys, by_key = torch.sort(feature * len(images) + place.to(feature.device)[token // tokens], stable=True)
    key, value, cell = (t.cpu().numpy() for t in (keys, found[by_key], token[by_key] % tokens))
    begins = np.flatnonzero(np.r_[True, key[1:] != key[:-1]]) if len(key) else np.zeros(0, np.int64)
    length = np.diff(np.r_[begins, len(key)]).astype(np.int32)
    if not len(key):
        return _empty(grid, np.sort(np.asarray(images, np.int64)), len(images) * tokens)
    best = np.maximum.reduceat(value, begins)
    # The first cell that reaches the maximum.
    reaches = np.flatnonzero(value == np.repeat(best, length))
    first = reaches[np.searchsorted(reaches, begins)]
    units = np.rint(value.astype(np.float64) * SUM_SCALE).astype(np.int64)
    sorted_images = np.asarray(images, np.int64)[order]
    return BatchMaxima(
        grid=grid,
        images=sorted_images,
        cells_seen=len(images) * tokens,
        feature=key[begins] // len(images),
        image=sorted_images[key[begins] % len(images)],
        activation=best,
        step=np.full(len(begins), step, np.int32),
        cell=cell[first].astype(np.int32),
        length=length,
        active=length.astype(np.int64),
        total=np.add.reduceat(units, begins),
        cells=cell.astype(np.uint16),
        values=to_half(value),
    )


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
    joined = {
        name: np.concatenate([getattr(p, name) for p in parts])
        for name in ("feature", "image", "activation", "step", "cell", "length", "active", "total")
    }
    starts = starts_of(joined["length"])
    order = np.lexsort((joined["cell"], joined["step"], -joined["activation"], joined["image"], joined["feature"]))
    feature, image = joined["feature"][order], joined["image"][order]
    if not len(order):
        return _empty(one.grid, one.images, sum(p.cells_seen for p in parts))
    begins = np.flatnonzero(np.r_[True, (feature[1:] != feature[:-1]) | (image[1:] != image[:-1])])
    best = order[begins]
    kept = pick(starts[best], joined["length"][best])
    return BatchMaxima(
        grid=one.grid,
        images=one.images,
        cells_seen=sum(p.cells_seen for p in parts),
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
    )


def _empty(grid: tuple[int, int], images: np.ndarray, cells_seen: int) -> BatchMaxima:
    wide, narrow = np.zeros(0, np.int64), np.zeros(0, np.int32)
    return BatchMaxima(
        grid, images, cells_seen, wide, wide, np.zeros(0, np.float32), narrow, narrow, narrow, wide, wide,
        np.zeros(0, np.uint16), np.zeros(0, np.float16),
    )  # fmt: skip
