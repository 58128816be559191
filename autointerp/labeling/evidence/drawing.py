"""Drawing cells in which a feature is active, so that each of them is as probable as any other.

Some pictures are kept more probably than others: the strongest ones for certain, others by chance. A cell of a picture
that was kept with probability p stands for 1/p cells. Cells are drawn with probabilities in proportion to that (a
systematic sample, Madow 1949). So the plain share of yes among them estimates the share among *all* active cells. Where
a picture has too few cells for its part, all of these are drawn, and the weights of the cells make up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.crops.sample import active_above
from autointerp.labeling.protocol import CropEvidence


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
    """Return the picture with the cells in which a feature of this maximum is active; None where there is none."""
    if crop.activation_map is None or crop.cell is None or crop.grid == (1, 1):
        return None
    above = float(active_above(maximum))
    cells = np.flatnonzero(crop.activation_map.reshape(-1) > above)
    return ActivePicture(replace(crop, active_above=above), cells, stands_for) if len(cells) else None


def marked_at(crop: CropEvidence, cell: tuple[int, int]) -> CropEvidence:
    """Return the crop with its mark at a cell; its map stays that of the picture."""
    box = crop_box(cell, crop.grid, crop.picture.size)
    activation = 0.0 if crop.activation_map is None else float(crop.activation_map[cell])
    return replace(crop, cell=cell, box=box, activation=activation)


def draw_cells(
    pictures: Sequence[ActivePicture], count: int, rng: np.random.Generator, most: int | None = None
) -> list[CropEvidence]:
    """Draw active cells without replacement, in random order; all of them where there are no more than `count`.

    A picture gets as many draws as its cells stand for, and no picture gets two while others that stand for as much get
    none. Each drawn cell has the `weight` of those that it stands for.

    Args:
        pictures: The pictures that were kept.
        count: Cells to draw.
        rng: Source of randomness.
        most: Cells of one picture, at most; None for no limit.
    """
    pictures = [pictures[i] for i in rng.permutation(len(pictures))]
    sizes = np.array([len(one.cells) * one.stands_for for one in pictures])
    held = np.array([min(len(one.cells), most or len(one.cells)) for one in pictures], np.int64)
    expected = _expected(sizes, held, count)
    drawn = [
        replace(marked_at(one.crop, divmod(int(cell), one.crop.grid[1])), weight=float(size / wanted))
        for one, size, wanted, number in zip(pictures, sizes, expected, _systematic(expected, rng), strict=True)
        for cell in rng.permutation(one.cells)[:number]
    ]
    return [drawn[i] for i in rng.permutation(len(drawn))]


def _expected(sizes: np.ndarray, held: np.ndarray, count: int) -> np.ndarray:
    """Return the expected draws of each picture, which sum to `count`: in proportion to `sizes`, at most `held`."""
    expected = held.astype(np.float64)
    if held.sum() <= count:
        return expected
    free = np.ones(len(sizes), bool)
    while True:
        expected[free] = sizes[free] * ((count - held[~free].sum()) / sizes[free].sum())
        full = free & (expected >= held)
        if not full.any():
            return expected
        expected[full] = held[full]
        free &= ~full


def _systematic(expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how often each picture is drawn: its expected number, rounded up or down; int64 [n]."""
    # One offset for all draws. Rounding keeps whole numbers whole, in spite of errors of the sum.
    ends = np.round(np.cumsum(expected), 9)
    passed = np.floor(ends + rng.random())
    return np.diff(passed, prepend=0.0).astype(np.int64)
