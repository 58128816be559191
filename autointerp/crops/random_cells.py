"""Cells of the layer that are drawn at random, in each split, whichever features fire there: what base rates are of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autointerp.crops.best import BestEntries
from autointerp.crops.hashing import hashed
from autointerp.crops.records import RandomCell
from autointerp.crops.split import SPLITS


class RandomCells:
    """The `n` cells of smallest hash of each split, over all images and steps, in whatever order they come."""

    def __init__(self, n: int, seed: int) -> None:
        self.seed = seed
        self.entries = BestEntries(2, n)

    def choose(
        self,
        images: np.ndarray,
        side: np.ndarray,
        grid: tuple[int, int],
        step: int,
        counted: np.ndarray | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the cells of a batch that may yet be kept, an array for each field.

        Args:
            images: Index of each image, int64 [n].
            side: The split of each image, int64 [n].
            grid: (rows, cols).
            step: 0-based denoising step.
            counted: The cells that may be drawn, bool [n, cells]; all if None.
        """
        cells = grid[0] * grid[1]
        cell = np.tile(np.arange(cells), len(images))
        image, group = np.repeat(images, cells), np.repeat(side, cells)
        # The hash of the sample for features that fire together begins with 0.
        key = hashed(self.seed, np.ones_like(image), image, np.full_like(image, step), cell)
        may = self.entries.fits(group, key)
        fits = np.flatnonzero(may if counted is None else may & counted.ravel())
        fields = {"group": group[fits], "key": key[fits], "image": image[fits], "cell": cell[fits]}
        same = {"step": step, "rows": grid[0], "cols": grid[1]}
        return {**fields, **{name: np.full(len(fits), value) for name, value in same.items()}}

    def update(self, fields: dict[str, np.ndarray]) -> None:
        """Add cells that were chosen."""
        self.entries.offer(fields)

    def rows(self) -> Iterator[RandomCell]:
        """Yield the cells of each split in the order of their hashes, which is random."""
        self.entries.settle()
        names = ("group", "image", "step", "cell", "rows", "cols")
        for group, image, step, cell, rows, cols in zip(
            *(self.entries.fields[name].tolist() for name in names), strict=True
        ):
            row, col = divmod(cell, cols)
            yield RandomCell(image, step, row, col, (rows, cols), SPLITS[group])
