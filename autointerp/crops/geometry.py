"""Boxes: the pixels of a cell of the token grid, and of the crop around it."""

from __future__ import annotations

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""

CONTEXT = 5 / 12
"""Side of a crop as a share of the picture's shorter side: five cells of a grid of twelve."""


def cell_box(cell: tuple[int, int], grid: tuple[int, int], size: tuple[int, int]) -> Box:
    """Return the pixels of one cell.

    The boxes of all cells tile the picture, whether or not its sides are multiples of the grid's.

    Args:
        cell: (row, col).
        grid: (rows, cols).
        size: (width, height) of the picture.

    Raises:
        ValueError: The cell is not in the grid.
    """
    (row, col), (rows, cols), (width, height) = cell, grid, size
    if not (0 <= row < rows and 0 <= col < cols):
        raise ValueError(f"cell {cell} is not in a grid of {grid}")
    left, right = (_edge(i, cols, width) for i in (col, col + 1))
    top, bottom = (_edge(i, rows, height) for i in (row, row + 1))
    return left, top, right, bottom


def crop_box(cell: tuple[int, int], grid: tuple[int, int], size: tuple[int, int], context: float = CONTEXT) -> Box:
    """Return the square around a cell that a crop shows, shifted to lie inside the picture.

    Args:
        cell: (row, col).
        grid: (rows, cols).
        size: (width, height) of the picture.
        context: The square's side as a share of the picture's shorter side; never less than the cell itself.

    Raises:
        ValueError: The cell is not in the grid, or the share is not in (0, 1].
    """
    if not 0 < context <= 1:
        raise ValueError(f"context is {context}, not a share of the picture")
    left, top, right, bottom = cell_box(cell, grid, size)
    side = max(round(context * min(size)), right - left, bottom - top)
    width, height = min(side, size[0]), min(side, size[1])
    # Twice the centre is a whole number, so no rounding of halves shifts the box.
    x = min(max((left + right - width) // 2, 0), size[0] - width)
    y = min(max((top + bottom - height) // 2, 0), size[1] - height)
    return x, y, x + width, y + height


def _edge(index: int, cells: int, pixels: int) -> int:
    """Return the pixel where cell `index` begins, rounded to the nearest."""
    return (2 * index * pixels + cells) // (2 * cells)
