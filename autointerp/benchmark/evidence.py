"""What the tasks show of a unit: pictures drawn by the number of cells in which it is active, and silent ones."""

from __future__ import annotations

import numpy as np

from autointerp.benchmark.recipe import Benchmark
from autointerp.benchmark.shown import ShownPicture, ShownUnit
from autointerp.crops.geometry import crop_box
from autointerp.crops.records import ACTIVE_SHARE

SILENT = 10
"""Pictures named in which a unit is silent, at most."""


class ShownEvidence:
    """Draws what is shown of each unit of a benchmark; the same each time."""

    def __init__(self, benchmark: Benchmark) -> None:
        self._firing, self._pictures, self._recipe = benchmark.firing, benchmark.pictures, benchmark.recipe
        self._units, self._features = benchmark.answers.units, benchmark.features
        self._starts = np.searchsorted(self._firing.feature, np.arange(self._firing.num_features + 1))

    def of(self, unit: int) -> ShownUnit:
        """Return what is shown of a unit, by its place."""
        first = len(self._units) - len(self._features)
        if unit >= first:
            return self._features[unit - first]
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
