from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.crops.geometry import cell_box, crop_box

SIDES = st.integers(1, 40)


def test_a_crop_of_the_shapes_grid_is_five_cells_around_its_own() -> None:
    assert crop_box((5, 7), (12, 12), (96, 96)) == (40, 24, 80, 64)
    assert crop_box((0, 0), (12, 12), (96, 96)) == (0, 0, 40, 40)
    assert crop_box((11, 0), (12, 12), (96, 96)) == (0, 56, 40, 96)


def test_rows_count_from_the_top_and_columns_from_the_left() -> None:
    assert cell_box((0, 3), (4, 8), (160, 80)) == (60, 0, 80, 20)
    assert cell_box((3, 0), (4, 8), (160, 80)) == (0, 60, 20, 80)


@given(rows=SIDES, cols=SIDES, extra=st.tuples(st.integers(0, 300), st.integers(0, 300)), data=st.data())
def test_boxes_lie_inside_hold_their_cell_and_tile_the_picture(rows, cols, extra, data) -> None:
    size = (cols + extra[0], rows + extra[1])
    cell = (data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, cols - 1)))
    context = data.draw(st.floats(0.05, 1.0))
    left, top, right, bottom = crop_box(cell, (rows, cols), size, context)
    inner = cell_box(cell, (rows, cols), size)
    assert 0 <= left <= inner[0] < inner[2] <= right <= size[0]
    assert 0 <= top <= inner[1] < inner[3] <= bottom <= size[1]
    covered = np.zeros(size[0], int)
    for col in range(cols):
        box = cell_box((cell[0], col), (rows, cols), size)
        covered[box[0] : box[2]] += 1
    assert (covered == 1).all()


def test_a_cell_outside_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="not in a grid"):
        crop_box((12, 0), (12, 12), (96, 96))
