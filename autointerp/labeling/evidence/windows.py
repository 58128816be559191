"""Windows: the small pictures around a cell that an embedder is shown; and the regions of a picture.

A window is a square of some cells' side, centred on the cell and shifted (never padded) into the picture. A negative
has no cell: its window lies at a cell that is drawn from its image's id, so that it is as large as other windows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from autointerp.labeling.protocol import CropEvidence
from autointerp.search.protocol import Embedder

Cutter = Callable[[CropEvidence, float], Image.Image]
"""Returns a crop's window, given the length of its side in cells."""

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
"""Regions of a picture, in which a feature may fire alone."""

_BATCH = 256
"""Crops whose windows are embedded together."""
_CACHED = 60_000
"""Crops beyond which known vectors are dropped."""


def cell_of(crop: CropEvidence) -> tuple[int, int]:
    """Return the crop's cell; for a negative a cell drawn from its image, so that features share windows."""
    if crop.cell is not None:
        return crop.cell
    draw = random.Random(crop.image_id)
    return draw.randrange(crop.grid[0]), draw.randrange(crop.grid[1])


def cut_window(crop: CropEvidence, cells: float) -> Image.Image:
    """Cut the square window around the crop's cell; its side is `cells` cells."""
    row, col = cell_of(crop)
    width, height = crop.picture.size
    cell_w, cell_h = width / crop.grid[1], height / crop.grid[0]
    side_w, side_h = min(cells * cell_w, width), min(cells * cell_h, height)
    left = min(max((col + 0.5) * cell_w - side_w / 2, 0), width - side_w)
    top = min(max((row + 0.5) * cell_h - side_h / 2, 0), height - side_h)
    return crop.picture.crop((round(left), round(top), round(left + side_w), round(top + side_h)))


def places(crops: Sequence[CropEvidence]) -> np.ndarray:
    """Return the centres of the crops' cells as (x, y) in [0, 1], y downwards: float64 [n, 2]."""
    cells = np.array([cell_of(c) for c in crops], np.float64).reshape(-1, 2)
    grids = np.array([c.grid for c in crops], np.float64).reshape(-1, 2)
    return ((cells + 0.5) / grids)[:, ::-1]


def in_regions(xy: np.ndarray) -> np.ndarray:
    """Return in which of `REGIONS` each place `xy` [n, 2] lies: bool [n, regions]. Regions overlap."""
    x, y = xy[:, 0], xy[:, 1]
    left, top = x < 0.5, y < 0.5
    center = (np.abs(x - 0.5) < 0.25) & (np.abs(y - 0.5) < 0.25)
    columns = [left & top, ~left & top, left & ~top, ~left & ~top, center, left, ~left, top, ~top]
    return np.stack(columns, 1)


class WindowEmbedder:
    """Embeds crops by windows of several sizes. Each window is embedded once."""

    def __init__(self, embedder: Embedder, sizes: Sequence[float], cut: Cutter = cut_window) -> None:
        self.embedder, self.sizes, self.cut = embedder, tuple(sizes), cut
        self._known: dict[tuple[int, tuple[int, int], tuple[int, int]], np.ndarray] = {}

    def __call__(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return the normalised mean over all sizes: unit vectors, float32 [n, dim]."""
        vectors = self.by_size(crops).mean(1)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

    def by_size(self, crops: Sequence[CropEvidence]) -> np.ndarray:
        """Return the embedder's vectors of the windows of each size: float32 [n, sizes, dim]."""
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
