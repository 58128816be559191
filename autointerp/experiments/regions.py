"""Where an edit of activations applies: a range of denoising steps, and a box or a mask of cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.diffusion.edits import CellBox
    from autointerp.diffusion.layers import Layer


@dataclass(frozen=True)
class EditRegion:
    """The steps and the cells that an edit changes.

    Attributes:
        steps: The first step and the end, 0-based, end exclusive; None is all steps.
        box: Top, left, bottom and right cell, ends exclusive; None is all cells.
        mask: A picture whose bright parts are the cells, in place of a box.
        mask_name: The mask's file, for a line below a picture.
    """

    steps: tuple[int, int] | None = None
    box: CellBox | None = None
    mask: Image.Image | None = None
    mask_name: str = ""

    @classmethod
    def parse(cls, steps: str | None, box: str | None, total: int, mask: Path | None = None) -> EditRegion:
        """Read a region as the command line writes it: steps `A:B`, cells `R0,C0,R1,C1`.

        Args:
            steps: The range of steps; either end may be left out, as in a slice of Python.
            box: The box of cells.
            total: How many denoising steps there are.
            mask: The file of a picture, bright where cells are changed; not together with a box.

        Raises:
            UsageError: A text is not written so, the steps are not among the `total` ones, or there are both a box and
                a mask.
            AutointerpError: The mask cannot be read.
        """
        if box is not None and mask is not None:
            raise UsageError("there are both a box and a mask", "leave one of them out")
        picture = None if mask is None else read_mask(mask)
        return cls(parse_steps(steps, total), parse_box(box), picture, "" if mask is None else mask.name)

    def cells(self, layer: Layer) -> CellBox | torch.Tensor | None:
        """Return the cells as an edit takes them: a box, a bool mask [rows, cols] of the layer's grid, or None for all.

        Raises:
            UsageError: No cell of the mask is bright, or the layer has no cells of a picture.
        """
        return self.box if self.mask is None else mask_cells(self.mask, layer)

    def check(self, layer: Layer, total: int) -> None:
        """Refuse steps or cells that do not exist.

        Raises:
            UsageError: The steps are not among the `total` ones, or the box or the mask does not fit the layer's grid.
        """
        from autointerp.diffusion.edits import box_mask

        if self.steps is not None:
            _check_steps(*self.steps, total, ":".join(map(str, self.steps)))
        if self.box is not None:
            box_mask(self.box, layer)
        self.cells(layer)

    def text(self, total: int) -> str:
        """Return the region in words, for a line below a picture."""
        first, end = self.steps or (0, total)
        cells = "all cells" if self.box is None else f"cells {','.join(map(str, self.box))}"
        cells = f"the cells of {self.mask_name}" if self.mask is not None else cells
        return f"steps {first}:{end} of {total}, {cells}"


def parse_steps(text: str | None, total: int) -> tuple[int, int] | None:
    """Read a range of steps written `A:B`, 0-based, B exclusive; None is all steps.

    Raises:
        UsageError: The range is not written so, or is not among the `total` steps.
    """
    if text is None:
        return None
    found = re.fullmatch(r"(\d*):(\d*)", text.strip())
    if found is None:
        raise UsageError(f"{text!r} is no range of steps", f"write A:B, e.g. 0:{max(total // 2, 1)}")
    first, end = int(found[1] or 0), int(found[2] or total)
    _check_steps(first, end, total, text)
    return first, end


def _check_steps(first: int, end: int, total: int, text: str) -> None:
    if not 0 <= first < end <= total:
        raise UsageError(f"the steps {text} are not among the {total} steps", f"all of them are 0:{total}")


def parse_box(text: str | None) -> CellBox | None:
    """Read a box of cells written `R0,C0,R1,C1`; None is all cells.

    Raises:
        UsageError: The box is not written so.
    """
    if text is None:
        return None
    numbers = text.split(",")
    if len(numbers) != 4 or not all(n.strip().isdecimal() for n in numbers):
        raise UsageError(f"{text!r} is no box of cells", "write R0,C0,R1,C1, ends exclusive, e.g. 0,0,6,6")
    top, left, bottom, right = map(int, numbers)
    return top, left, bottom, right


def read_mask(file: Path) -> Image.Image:
    """Read a mask: any picture, bright where cells are changed; transparent parts are dark.

    Raises:
        AutointerpError: The file is no picture that can be read.
    """
    from PIL import Image

    try:
        with Image.open(file) as opened:
            rgba = opened.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise AutointerpError(f"{file} cannot be read as a picture", "give a PNG that is white in the cells") from error
    mask = Image.new("L", rgba.size, 0)
    mask.paste(rgba.convert("L"), mask=rgba.getchannel("A"))
    return mask


def mask_of_cells(cells: str, grid: tuple[int, int]) -> Image.Image:
    """Return a mask, a pixel a cell, of cells that are painted on a grid.

    Args:
        cells: A `1` for each cell that is changed and a `0` for any other, row by row.
        grid: Rows and columns.

    Raises:
        UsageError: There are not as many cells as the grid has.
    """
    from PIL import Image

    rows, cols = grid
    if len(cells) != rows * cols or set(cells) - {"0", "1"}:
        raise UsageError(f"these are not the {rows}x{cols} cells of a mask", "paint it again")
    return Image.frombytes("L", (cols, rows), bytes(255 * (cell == "1") for cell in cells))


def mask_cells(mask: Image.Image, layer: Layer) -> torch.Tensor:
    """Return the cells of a layer that a mask covers by half or more, bool [rows, cols].

    Args:
        mask: A picture of any size, of one channel of brightness.
        layer: The layer, resolved for the size of the run.

    Raises:
        UsageError: The layer has no cells of a picture, or no cell is covered.
    """
    import numpy as np
    import torch
    from PIL import Image

    if layer.stream != "image":
        raise UsageError(f"{layer.name} reads text, which has no place in a picture", "leave the mask out")
    rows, cols = layer.grid
    bright = mask.point(lambda value: 255 if value >= 128 else 0)  # type: ignore[operator, unused-ignore]
    # Enlarge first, so that each cell covers whole pixels and its mean is the share that is bright.
    scaled = bright.resize((cols * 16, rows * 16), Image.Resampling.BOX)
    share = np.asarray(scaled, np.float32).reshape(rows, 16, cols, 16).mean((1, 3)) / 255
    found = torch.from_numpy(share >= 0.5)
    if not found.any():
        raise UsageError(
            "no cell is bright in at least half of the mask", f"make larger parts of it white: {rows}x{cols} cells"
        )
    return found
