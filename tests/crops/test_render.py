from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.crops.render import decode_picture, encode_picture, render_crop, render_glow, render_heat
from autointerp.errors import AutointerpError

GRAY = Image.new("RGB", (96, 96), (120, 120, 120))


def one_cell(row: int, col: int, grid: tuple[int, int] = (12, 12)) -> np.ndarray:
    activation_map = np.zeros(grid, np.float32)
    activation_map[row, col] = 2.0
    return activation_map


def marked_at(image: Image.Image) -> Any:
    """Where pixels differ from the gray picture."""
    return Image.fromarray((np.asarray(image) != 120).any(2)).getbbox()


def test_a_crop_shows_its_box_and_outlines_its_cell() -> None:
    crop = render_crop(GRAY, (40, 24, 80, 64), one_cell(5, 7), side=200)
    assert crop.size == (200, 200)
    left, top, right, bottom = marked_at(crop)
    # Cell (5, 7) is the box's middle, 80 to 120 of 200 pixels; the outline is a few pixels wide.
    assert abs(left - 80) <= 4
    assert abs(right - 120) <= 4
    assert abs(top - 80) <= 4
    assert abs(bottom - 120) <= 4
    assert crop.getpixel((100, 100)) == (120, 120, 120)


def test_rows_and_columns_are_not_swapped_on_grids_that_are_not_square() -> None:
    wide = Image.new("RGB", (160, 80), (120, 120, 120))
    left, top, right, bottom = marked_at(render_crop(wide, (0, 0, 160, 80), one_cell(0, 6, (4, 8)), side=160))
    assert left > 110
    assert right < 145
    assert bottom < 25
    assert top == 0


def test_without_marks_and_for_negatives_a_crop_is_the_plain_picture() -> None:
    assert marked_at(render_crop(GRAY, (0, 0, 96, 96), one_cell(1, 1), mark=False)) is None
    assert marked_at(render_crop(GRAY, (0, 0, 96, 96))) is None


def test_a_cell_alone_is_outlined_where_there_is_no_map() -> None:
    left, top, _, _ = marked_at(render_crop(GRAY, (0, 0, 96, 96), cell=(2, 3), grid=(12, 12), side=96))
    assert abs(left - 24) <= 2
    assert abs(top - 16) <= 2


def test_heat_is_where_the_map_is() -> None:
    heat = np.asarray(render_heat(GRAY, one_cell(2, 9), side=96)).astype(int)
    blue = heat[..., 2] - heat[..., 0]
    row, col = np.unravel_index(blue.argmax(), blue.shape)
    assert row // 8 == 2
    assert col // 8 == 9
    assert blue[60:, :48].max() == 0
    assert np.array_equal(np.asarray(render_heat(GRAY, np.zeros((12, 12)), side=96)), np.asarray(GRAY))


def test_a_glow_is_seen_on_a_picture_of_any_colour() -> None:
    for colour in ("black", "white", "red", "blue", "yellow"):
        picture = Image.new("RGB", (96, 96), colour)
        glow = np.asarray(render_glow(picture, one_cell(2, 9), side=96)).astype(int)
        fires, silent = glow[20, 76], glow[80, 10]
        assert np.abs(fires - silent).max() > 60, colour
        assert silent.sum() <= np.asarray(picture).astype(int)[0, 0].sum() + 60
        assert glow.shape == (96, 96, 3)


def test_pictures_come_back_from_webp_and_large_ones_are_reduced() -> None:
    ramp = np.linspace(0, 255, 96, dtype=np.uint8)
    picture = Image.fromarray(np.stack(np.broadcast_arrays(ramp[None], ramp[:, None], 90), -1).astype(np.uint8))
    back = decode_picture(encode_picture(picture))
    assert back.size == (96, 96)
    assert np.abs(np.asarray(back).astype(int) - np.asarray(picture)).mean() < 4
    assert decode_picture(encode_picture(Image.new("RGB", (1024, 768)))).size == (512, 384)
    with pytest.raises(AutointerpError, match="does not decode"):
        decode_picture(b"none")
