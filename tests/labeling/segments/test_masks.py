"""Masks of the things in boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.labeling.segments.masks import BoxSegmenter, cells_of

from . import tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> BoxSegmenter:
    folder: Path = tiny.save_segmenter(tmp_path_factory.mktemp("models") / "sam")
    return BoxSegmenter.load(str(folder))


def test_a_mask_for_each_box_in_the_pictures_own_pixels(segmenter: BoxSegmenter) -> None:
    boxes = [(0.0, 0.0, 16.0, 16.0), (20.0, 10.0, 60.0, 40.0)]
    masks = segmenter.masks(PICTURE, boxes)
    assert masks.shape == (2, 48, 64)
    assert masks.dtype == np.bool_
    np.testing.assert_array_equal(segmenter.masks(PICTURE, boxes[1:])[0], masks[1])
    assert segmenter.masks(PICTURE, []).shape == (0, 48, 64)


def test_cells_that_lie_mostly_in_a_mask() -> None:
    mask = np.zeros((1, 8, 8), bool)
    mask[0, :4, :6] = True
    np.testing.assert_array_equal(cells_of(mask, (2, 2))[0], [[True, True], [False, False]])
    mask[0, :, 4:] = False
    np.testing.assert_array_equal(cells_of(mask, (2, 2))[0], [[True, False], [False, False]])
    assert cells_of(np.zeros((0, 8, 8), bool), (2, 2)).shape == (0, 2, 2)
