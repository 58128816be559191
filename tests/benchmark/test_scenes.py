from __future__ import annotations

import numpy as np

from autointerp.benchmark.scenes import rendered_pictures
from autointerp.shapes.scenes import held_out


def test_pictures_are_held_out_scenes_with_their_exact_cells() -> None:
    made = rendered_pictures(3, 5, 1)
    assert made.images.shape == (8, 96, 96, 3)
    assert made.grid == (12, 12)
    assert len(set(made.prompts)) == 8
    assert all(map(held_out, made.prompts))
    assert made.held_out["part"].shape == (5, 12, 12)
    assert np.array_equal(made.held_out["color"], made.cells["color"][3:])
    # A cell has a background or a color, never both.
    assert ((made.cells["background"] >= 0) != (made.cells["color"] >= 0)).all()


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others() -> None:
    one, again, other = (rendered_pictures(2, 2, seed) for seed in (1, 1, 2))
    assert np.array_equal(one.images, again.images)
    assert one.prompts != other.prompts
