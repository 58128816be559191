"""Steps and cells of an edit, as the command line writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st
from PIL import Image

from autointerp.diffusion.describe import describe_model
from autointerp.diffusion.layers import Layer, resolve_layer
from autointerp.errors import AutointerpError, UsageError
from autointerp.experiments.regions import EditRegion, mask_of_cells, parse_box, parse_steps


def test_steps_are_written_as_slices() -> None:
    assert [parse_steps(text, 8) for text in (None, "2:5", ":3", "6:", ":")] == [None, (2, 5), (0, 3), (6, 8), (0, 8)]


@given(st.integers(1, 50), st.integers(0, 60), st.integers(0, 60))
def test_steps_are_taken_exactly_where_they_exist(total: int, first: int, end: int) -> None:
    if first < end <= total:
        assert parse_steps(f"{first}:{end}", total) == (first, end)
    else:
        with pytest.raises(UsageError):
            parse_steps(f"{first}:{end}", total)


@given(st.tuples(*[st.integers(0, 99)] * 4))
def test_a_box_comes_back_as_it_was_written(box: tuple[int, int, int, int]) -> None:
    assert parse_box(",".join(map(str, box))) == box


@pytest.mark.parametrize("text", ["", "1,2,3", "a,b,c,d", "-1,0,2,2", "0,0,6,6,6"])
def test_what_is_no_box_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no box of cells"):
        parse_box(text)


def test_a_region_is_held_against_the_layer() -> None:
    layer = resolve_layer(describe_model("shapes"), "mid")
    EditRegion().check(layer, 2)
    EditRegion((0, 2), (0, 0, 12, 12)).check(layer, 2)
    with pytest.raises(UsageError, match="the steps 0:3 are not among the 2 steps"):
        EditRegion((0, 3)).check(layer, 2)
    with pytest.raises(UsageError, match="does not lie in the 12x12 cells"):
        EditRegion(box=(0, 0, 13, 2)).check(layer, 2)


def test_a_region_says_where_it_is() -> None:
    assert EditRegion().text(4) == "steps 0:4 of 4, all cells"
    assert EditRegion.parse("1:", "0,0,6,12", 4).text(4) == "steps 1:4 of 4, cells 0,0,6,12"


def picture(path: Path, bright: np.ndarray, mode: str = "L") -> Path:
    Image.fromarray((bright * 255).astype(np.uint8)).convert(mode).save(path)
    return path


def test_a_mask_has_the_cells_that_it_covers_by_half(tmp_path: Path) -> None:
    bright = np.zeros((10, 20), bool)
    bright[:5, :10] = True
    bright[5:8, 10:] = True  # 3 of 5 rows of the last cell
    layer = Layer("mid", "transformer.x", 8, (2, 2), "image", "output")
    region = EditRegion.parse(None, None, 4, picture(tmp_path / "m.png", bright))
    assert region.cells(layer).tolist() == [[True, False], [False, True]]
    assert region.text(4) == "steps 0:4 of 4, the cells of m.png"
    # A cell needs no whole pixels, and what is transparent is dark.
    odd = EditRegion.parse(None, None, 4, picture(tmp_path / "odd.png", np.ones((7, 5), bool), "RGBA"))
    assert bool(odd.cells(Layer("mid", "transformer.x", 8, (3, 4), "image", "output")).all())
    Image.new("RGBA", (8, 8), (255, 255, 255, 0)).save(tmp_path / "clear.png")
    with pytest.raises(UsageError, match="no cell is bright"):
        EditRegion.parse(None, None, 4, tmp_path / "clear.png").cells(layer)
    with pytest.raises(UsageError, match="which has no place in a picture"):
        region.cells(Layer("mid", "transformer.x", 8, (1, 28), "text", "output"))


def test_a_file_that_is_no_picture_is_no_mask(tmp_path: Path) -> None:
    (tmp_path / "m.png").write_text("no picture")
    with pytest.raises(AutointerpError, match=r"m\.png cannot be read as a picture"):
        EditRegion.parse(None, None, 4, tmp_path / "m.png")


@given(st.integers(1, 9), st.integers(1, 9), st.data())
def test_painted_cells_come_back_as_a_mask(rows: int, cols: int, data: st.DataObject) -> None:
    cells = data.draw(st.text("01", min_size=rows * cols, max_size=rows * cols))
    mask = mask_of_cells(cells, (rows, cols))
    assert (np.asarray(mask) > 0).reshape(-1).tolist() == [cell == "1" for cell in cells]
    with pytest.raises(UsageError, match=f"not the {rows}x{cols} cells"):
        mask_of_cells(cells + "0", (rows, cols))
    with pytest.raises(UsageError, match="not the"):
        mask_of_cells("x" + cells[1:], (rows, cols))
