"""The pictures of a benchmark, with the truth of cells: rendered scenes whose captions no trainer of the package saw.

The first pictures are shown with the tasks. The others are held out: answers are found on them, and nobody sees them.
Generated pictures, of a workspace, are those of `workspace_tasks`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.scenes import Render, render, sample_held_out_scene

_STREAM = 61
"""Parts the draws of a benchmark's scenes from those of prompts."""


@dataclass(frozen=True)
class BenchmarkPictures:
    """Pictures with what is true in their cells.

    Attributes:
        images: uint8 [n, height, width, 3], of shown pictures at least.
        prompts: The caption of each.
        cells: attribute -> int8 [n, rows, cols], as for `concept_masks`.
        shown: How many are shown; the others are held out.
    """

    images: np.ndarray
    prompts: tuple[str, ...]
    cells: Mapping[str, np.ndarray]
    shown: int

    @property
    def held_out(self) -> dict[str, np.ndarray]:
        """The truth of the cells of the held-out pictures."""
        return {name: values[self.shown :] for name, values in self.cells.items()}

    @property
    def count(self) -> int:
        """How many pictures there are, shown and held out."""
        return len(self.cells["part"])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of cells."""
        rows, cols = self.cells["part"].shape[1:]
        return rows, cols


def rendered_pictures(shown: int, held_out: int, seed: int) -> BenchmarkPictures:
    """Render scenes; no two of them have the same caption."""
    rendered: list[Render] = []
    seen: set[str] = set()
    number = 0
    while len(rendered) < shown + held_out:
        scene = sample_held_out_scene(np.random.default_rng((seed, _STREAM, number)))
        number += 1
        if scene.caption not in seen:
            seen.add(scene.caption)
            rendered.append(render(scene))
    cells = [one.cells() for one in rendered]
    return BenchmarkPictures(
        np.stack([one.image for one in rendered]),
        tuple(one.scene.caption for one in rendered),
        {name: np.stack([one[name] for one in cells]).astype(np.int8) for name in cells[0]},
        shown,
    )
