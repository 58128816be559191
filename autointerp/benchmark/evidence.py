"""What the tasks show of a unit: pictures drawn by the number of cells in which it is active, and silent ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.benchmark.recipe import Benchmark
from autointerp.crops.geometry import Box, crop_box
from autointerp.crops.records import ACTIVE_SHARE

SILENT = 10
"""Pictures named in which a unit is silent, at most."""


@dataclass(frozen=True)
class ShownPicture:
    """A picture in which a unit is active.

    Attributes:
        image: Its number.
        cell: Row and column of an active cell, as probable as any other active cell of the picture.
        box: What the crop shows, in pixels of the picture.
        heat: The unit's activations, float32 [rows, cols].
    """

    image: int
    cell: tuple[int, int]
    box: Box
    heat: np.ndarray


@dataclass(frozen=True)
class ShownUnit:
    """What is shown of a unit.

    Attributes:
        pictures: Pictures in which it is active.
        silent: Numbers of pictures in which it is not.
        maximum: Its largest activation in all pictures of the benchmark.
        density: The share of the cells of shown pictures in which it is active.
    """

    pictures: tuple[ShownPicture, ...]
    silent: tuple[int, ...]
    maximum: float
    density: float


class ShownEvidence:
    """Draws what is shown of each unit of a benchmark; the same each time."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._firing, self._pictures, self._recipe = benchmark.firing, benchmark.pictures, benchmark.recipe
        self._starts = np.searchsorted(self._firing.feature, np.arange(self._firing.num_features + 1))

    def of(self, unit: int) -> ShownUnit:
        """Return what is shown of a unit, by its place."""
        firing, grid, shown = self._firing, self._pictures.grid, self._pictures.shown
        entries = slice(*self._starts[unit : unit + 2])
        maps = np.zeros((shown, *grid), np.float32)
        inside = firing.cell[entries] < maps.size
        maps.reshape(-1)[firing.cell[entries][inside]] = firing.act[entries][inside]
        maximum = float(firing.maximum[unit])
        active = maps > ACTIVE_SHARE * maximum
        counts = active.sum((1, 2))
        rng = np.random.default_rng((self._recipe.seed, 73, unit))
        firing_in, silent_in = np.flatnonzero(counts), np.flatnonzero(~active.any((1, 2)))
        drawn = rng.choice(
            firing_in,
            min(self._recipe.crops, len(firing_in)),
            replace=False,
            p=counts[firing_in] / counts.sum() if len(firing_in) else None,
        ).tolist()
        height, width = self._pictures.images.shape[1:3]
        pictures = []
        for image in drawn:
            cells = np.argwhere(active[image])
            row, col = cells[int(rng.integers(len(cells)))].tolist()
            box = crop_box((row, col), grid, (width, height))
            pictures.append(ShownPicture(image, (row, col), box, maps[image]))
        silent = rng.choice(silent_in, min(SILENT, len(silent_in)), replace=False).tolist()
        return ShownUnit(tuple(pictures), tuple(silent), maximum, float(active.mean()))
