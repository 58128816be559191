"""Checks of crops and random cells: box, split, cell and activation map are as a harvest makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from autointerp.crops.maps import decode_map
from autointerp.crops.split import split_of
from autointerp.db import queries

if TYPE_CHECKING:
    from autointerp.db.queries.checks import PlacedCell, PlacedCrop
    from autointerp.progress import Task
    from autointerp.project.context import Context


def check_crops(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the crops that no harvest would make."""
    with ctx.db.session() as session:
        for crop in queries.checks.crops(session):
            bar.advance(1)
            for problem in crop_problems(crop):
                yield f"crop {crop.crop_id} {problem}"


def check_cells(ctx: Context, bar: Task) -> Iterator[str]:
    """Yield the random cells that no harvest would draw."""
    del bar
    with ctx.db.session() as session:
        for cell in queries.checks.cells(session):
            for problem in cell_problems(cell):
                yield f"random cell {cell.cell_id} {problem}"


def cell_problems(cell: PlacedCell) -> Iterator[str]:
    """Yield what is wrong with one random cell, each as the rest of a sentence about it."""
    rows, cols = cell.grid_rows, cell.grid_cols
    if not (0 <= cell.row < rows and 0 <= cell.col < cols):
        yield f"lies at cell {cell.row}, {cell.col} of a grid of {rows} x {cols}"
    elif cell.stream == "image" and not 0.95 < (rows * cell.width) / (cols * cell.height) < 1.05:
        yield f"has a grid of {rows} x {cols} cells on a picture of {cell.width}x{cell.height}"
    if cell.prompt and cell.split != split_of(cell.prompt):
        yield f"is of split {cell.split}, and its prompt of the other"


def crop_problems(crop: PlacedCrop) -> Iterator[str]:
    """Yield what is wrong with one crop, each as the rest of a sentence about it."""
    left, top, right, bottom = crop.box
    if crop.sample_probability is not None and not 0 < crop.sample_probability <= 1:
        yield f"was drawn with probability {crop.sample_probability:g}"
    if not (0 <= left < right <= crop.width and 0 <= top < bottom <= crop.height):
        yield f"has a box outside of its {crop.width}x{crop.height} picture"
    if crop.prompt and crop.split != split_of(crop.prompt):
        yield f"is of split {crop.split}, and its prompt of the other: labels would be scored on what was shown"
    if crop.role == "negative":
        if crop.sample_probability is not None:
            yield "is a negative in a sample of active cells"
        yield from _negative_problems(crop)
        return
    if crop.neighbour is not None:
        yield f"has the neighbour {crop.neighbour}, and is no negative"
    yield from _firing_problems(crop)


def _negative_problems(crop: PlacedCrop) -> Iterator[str]:
    """Yield what is wrong with a crop on which its feature should be silent."""
    if crop.activation != 0:
        yield f"is a negative with activation {crop.activation:g}"
    has_place = (crop.step, crop.row, crop.col, crop.activation_map) != (None,) * 4
    if has_place or crop.box != (0, 0, crop.width, crop.height):
        yield "is a negative that is not a whole image without step and cell"


def _firing_problems(crop: PlacedCrop) -> Iterator[str]:
    """Yield what is wrong with the cell and activation map of a crop on which its feature fires."""
    if crop.step is None or crop.row is None or crop.col is None or crop.activation_map is None:
        yield "lacks its step, cell or activation map"
        return
    if not crop.activation > 0:
        yield f"has activation {crop.activation:g}"
    try:
        heat = decode_map(crop.activation_map)
    except ValueError as error:
        yield f"has an activation map that does not decode: {error}"
        return
    rows, cols = heat.shape
    maximum = heat.max()
    if not (0 <= crop.row < rows and 0 <= crop.col < cols):
        yield f"lies at cell {crop.row}, {crop.col} of a grid of {rows} x {cols}"
    # The grid may have any number of cells, but each covers as many pixels across as down.
    elif crop.stream == "image" and not 0.95 < (rows * crop.width) / (cols * crop.height) < 1.05:
        yield f"has an activation map of {rows} x {cols} cells on a picture of {crop.width}x{crop.height}"
    elif maximum != heat[crop.row, crop.col] or abs(maximum - crop.activation) > 1e-2 * crop.activation + 1e-6:
        yield "has an activation map whose maximum is not its activation at its cell"
