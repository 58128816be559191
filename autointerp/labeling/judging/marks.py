"""Marks where a feature does not fire: in one of its own images, or in an image in which it is silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autointerp.crops.geometry import crop_box
from autointerp.labeling.protocol import CropEvidence

STRONG = 0.5
"""Share of a map's highest activation from which a cell counts as one where the feature fires."""


def displaced(crop: CropEvidence, rng: np.random.Generator) -> CropEvidence | None:
    """Return the crop with its mark at a random cell whose box holds no cell in which the feature fires strongly.

    Return None where there is no such cell, or where the crop has no cell of its own.
    """
    if crop.cell is None:
        return None
    rows, cols = crop.grid
    heat = crop.activation_map
    if heat is None:
        heat = np.zeros(crop.grid, np.float32)
        heat[crop.cell] = 1
    on = np.argwhere(heat >= STRONG * heat.max()) + 0.5
    width, height = crop.picture.size
    x, y = on[:, 1] * width / cols, on[:, 0] * height / rows
    for place in rng.permutation(rows * cols):
        cell = int(place) // cols, int(place) % cols
        box = crop_box(cell, crop.grid, crop.picture.size)
        if not ((x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])).any():
            moved = np.roll(heat, (cell[0] - crop.cell[0], cell[1] - crop.cell[1]), (0, 1))
            return replace(crop, cell=cell, box=box, activation_map=moved)
    return None


def anywhere(crop: CropEvidence, rng: np.random.Generator) -> CropEvidence | None:
    """Return a picture in which the feature is silent, marked at a random cell; None where there is one cell only."""
    if crop.grid == (1, 1):
        return None
    cell = int(rng.integers(crop.grid[0])), int(rng.integers(crop.grid[1]))
    return replace(crop, cell=cell, box=crop_box(cell, crop.grid, crop.picture.size))
