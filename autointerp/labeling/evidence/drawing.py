"""Drawing cells in which a feature is active, so that each of them is as probable as any other.

Some pictures are kept more probably than others: the strongest ones for certain, others by chance. A cell of a picture
that was kept with probability p stands for 1/p cells. Cells are drawn with probabilities in proportion to that (a
systematic sample, Madow 1949). So the plain share of yes among them estimates the share among *all* active cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.labeling.protocol import CropEvidence

ACTIVE_SHARE = 0.25
"""Share of its maximum above which a feature counts as active."""


@dataclass(frozen=True)
class ActivePicture:
    """A picture in which a feature is active.

    Attributes:
        crop: A crop of the feature in the picture, with its activation map.
        cells: The active cells, int64 [n], each row * cols + col.
        stands_for: How many cells each of them stands for: 1 over the probability with which the picture was kept.
    """

    crop: CropEvidence
    cells: np.ndarray
    stands_for: float = 1.0


def active_picture(crop: CropEvidence, maximum: float, stands_for: float = 1.0) -> ActivePicture | None:
    """Return the picture with its cells above `ACTIVE_SHARE` of the feature's maximum; None where there is none."""
    if crop.activation_map is None or crop.cell is None or crop.grid == (1, 1):
        return None
    cells = np.flatnonzero(crop.activation_map.reshape(-1) > ACTIVE_SHARE * maximum)
    return ActivePicture(crop, cells, stands_for) if len(cells) else None


def marked_at(crop: CropEvidence, cell: tuple[int, int]) -> CropEvidence:
    """Return the crop with its mark at a cell; its map stays that of the picture."""
    box = crop_box(cell, crop.grid, crop.picture.size)
    activation = 0.0 if crop.activation_map is None else float(crop.activation_map[cell])
    return replace(crop, cell=cell, box=box, activation=activation)


def draw_cells(pictures: Sequence[ActivePicture], count: int, rng: np.random.Generator) -> list[CropEvidence]:
    """Draw active cells without replacement, in random order; all of them where there are no more than `count`.

    A picture gets as many draws as its cells stand for, and no picture gets two while others that stand for as much get
    none.
    """
    pictures = [pictures[i] for i in rng.permutation(len(pictures))]
    sizes = np.array([len(one.cells) * one.stands_for for one in pictures])
    held = np.array([len(one.cells) for one in pictures], np.int64)
    draws = held if held.sum() <= count else _systematic(sizes, held, count, rng)
    drawn = [
        marked_at(one.crop, (int(cell) // one.crop.grid[1], int(cell) % one.crop.grid[1]))
        for one, number in zip(pictures, draws, strict=True)
        for cell in rng.permutation(one.cells)[:number]
    ]
    return [drawn[i] for i in rng.permutation(len(drawn))]


def _systematic(sizes: np.ndarray, held: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return how many cells to draw of each picture, in proportion to `sizes` [n] and at most `held` [n]."""
    draws = np.zeros(len(sizes), np.int64)
    # A picture cannot give more cells than it has; what it lacks is drawn from the others.
    while (left := count - int(draws.sum())) > 0:
        open_ones = np.flatnonzero(draws < held)
        ends = np.cumsum(sizes[open_ones])
        at = (rng.random() + np.arange(left)) * ends[-1] / left
        hits = np.minimum(np.searchsorted(ends, at, side="right"), len(open_ones) - 1)
        np.add.at(draws, open_ones[hits], 1)
        draws = np.minimum(draws, held)
    return draws
