"""Where a feature fires, as the small picture that an embedder is shown, and as a place in the picture.

A window is a square of some cells' side centred on the cell, shifted (never padded) to lie inside the picture. A
negative has no cell: its window lies at a cell drawn from its id, so that it is as large as the others.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from autointerp.labeling.protocol import CropEvidence
from autointerp.search.protocol import Embedder

Cutter = Callable[[CropEvidence, float], Image.Image]
"""Cuts a crop's window of a side in cells."""

REGIONS: tuple[str, ...] = (
    "top left",
    "top right",
    "bottom left",
    "bottom right",
    "center",
    "left",
    "right",
    "top",
    "bottom",
)
"""The regions of a picture that a feature may be about."""

_BATCH = 256
_CACHED = 60_000


def cell_of(crop: CropEvidence) -> tuple[int, int]:
    """The crop's cell; for a negative, one drawn from its image, so that features share their negatives' windows."""
    if crop.cell is not None:
        return crop.cell
    draw = random.Random(crop.image_id)
    return draw.randrange(crop.grid[0]), draw.randrange(crop.grid[1])


def cut_window(crop: CropEvidence, cells: float) -> Image.Image:
    """Cut the square window of `cells` cells' side around the crop's cell."""
    row, col = cell_of(crop)
    width, height = crop.picture.size
    cell_w, cell_h = width / crop.grid[1], height / crop.grid[0]
    side_w, side_h = min(cells * cell_w, width), min(cells * cell_h, height)
    left = min(max((col + 0.5) * cell_w - side_w / 2, 0), width - side_w)
    top = min(max((row + 0.5) * cell_h - side_h / 2, 0), height - side_h)
    return crop.picture.crop((round(left), round(top), round(left + side_w), round(top + side_h)))


def places(crops: Sequence[CropEvidence]) -> np.ndarray:
    """Centres of the crops' cells as (x, y) in [0, 1], y downwards: float64 [n, 2]."""
    cells = np.array([cell_of(c) for c in crops], np.float64).reshape(-1, 2)
    grids = np.array([c.grid for c in crops], np.float64).reshape(-1, 2)
    return ((cells + 0.5) / grids)[:, ::-1]


def in_regions(xy: np.ndarray) -> np.ndarray:
    """Which of `REGIONS` each place lies in: bool [n, regions], from `xy`: [n, 2]. Regions overlap."""
    x, y = xy[:, 0], xy[:, 1]
    left, top = x < 0.5, y < 0.5
    center = (np.abs(x - 0.5) < 0.25) & (np.abs(y - 0.5) < 0.25)
    columns = [left & top, ~left & top, left & ~top, ~left & ~top, center, left, ~left, top, ~top]
    return np.stack(columns, 1)


class WindowEmbedder:
    """Vectors of crops: the mean over several window sizes, normalised. Each window is embedded once."""

    def __init__(self, embedder: Embedder, sizes: Sequence[float], cut: Cutter = cut_window) -> None:
        self.embedder, self.sizes, self.cut = embedder, tuple(sizes), cut
        self._known: dict[tuple[int, tuple[int, int], tuple[int, int]], np.ndarray] = {}

    def __call__(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Unit vectors of the crops, float32 [n, dim]."""
        vectors = self.by_size(crops).mean(1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def by_size(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """The embedder's vectors of every size's windows, float32 [n, sizes, dim]."""
        keys = [(c.image_id, cell_of(c), c.grid) for c in crops]
        missing = {key: crop for key, crop in zip(keys, crops, strict=True) if key not in self._known}
        if len(self._known) > _CACHED:
            self._known = {key: self._known[key] for key in keys if key in self._known}
        todo = list(missing.items())
        for start in range(0, len(todo), _BATCH):
            batch = todo[start : start + _BATCH]
            pictures = [self.cut(crop, size) for _, crop in batch for size in self.sizes]
            vectors = self.embedder.embed_images(pictures).reshape(len(batch), len(self.sizes), -1)
            for (key, _), vector in zip(batch, vectors.astype(np.float32), strict=True):
                self._known[key] = vector
        if not keys:
            return np.zeros((0, len(self.sizes), self.embedder.dim), np.float32)
        return np.stack([self._known[key] for key in keys])
