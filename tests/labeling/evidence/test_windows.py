from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, strategies as st

from autointerp.labeling.evidence.windows import REGIONS, WindowEmbedder, cell_of, cut_window, in_regions, places

from ..conftest import ColorEmbedder, World

CELLS = st.tuples(st.integers(0, 7), st.integers(0, 7))


@given(CELLS, st.sampled_from([1.0, 2.0, 3.0, 6.0, 20.0]))
def test_a_window_has_its_size_and_lies_in_the_picture(cell: tuple[int, int], side: float) -> None:
    crop = World(images=1).crop(0, cell, 1.0)
    pixels = min(round(side * 8), 64)
    assert cut_window(crop, side).size == (pixels, pixels)


@given(CELLS)
def test_a_place_is_left_or_right_and_top_or_bottom(cell: tuple[int, int]) -> None:
    crop = World(images=1).crop(0, cell, 1.0)
    (x, y), inside = places([crop])[0], in_regions(places([crop]))[0]
    named = {region for region, there in zip(REGIONS, inside, strict=True) if there}
    assert ("left" in named, "top" in named) == (x < 0.5, y < 0.5)
    assert len({"left", "right"} & named) == len({"top", "bottom"} & named) == 1
    assert f"{'top' if y < 0.5 else 'bottom'} {'left' if x < 0.5 else 'right'}" in named


def test_a_negative_has_one_cell_an_image(world: World) -> None:
    silent = replace(world.crop(3, (2, 2), 1.0), cell=None)
    assert cell_of(silent) == cell_of(replace(silent, crop_id=99))
    assert len({cell_of(replace(silent, image_id=image)) for image in range(40)}) > 10


def test_a_window_is_embedded_once(world: World, embedder: ColorEmbedder) -> None:
    windows = WindowEmbedder(embedder, (2.0, 4.0))
    crops = [world.crop(image, (2, 2), 1.0) for image in range(5)]
    first = windows(crops)
    assert embedder.images_seen == 10
    assert np.array_equal(windows(crops[::-1]), first[::-1])
    assert embedder.images_seen == 10
    assert np.allclose(np.linalg.norm(first, axis=1), 1, atol=1e-5)
    assert windows([]).shape == (0, embedder.dim)
