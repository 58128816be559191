"""Where an edit of activations applies: a range of denoising steps and a box of cells."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.errors import UsageError

if TYPE_CHECKING:
    from autointerp.diffusion.edits import CellBox
    from autointerp.diffusion.layers import Layer


@dataclass(frozen=True)
class EditRegion:
    """The steps and the cells that an edit changes.

    Attributes:
        steps: The first step and the end, 0-based, end exclusive; None is all steps.
        box: Top, left, bottom and right cell, ends exclusive; None is all cells.
    """

    steps: tuple[int, int] | None = None
    box: CellBox | None = None

    @classmethod
    def parse(cls, steps: str | None, box: str | None, total: int) -> EditRegion:
        """Read a region as the command line writes it: steps `A:B`, cells `R0,C0,R1,C1`.

        Args:
            steps: The range of steps; either end may be left out, as in a slice of Python.
            box: The box of cells.
            total: How many denoising steps there are.

        Raises:
            UsageError: A text is not written so, or the steps are not among the `total` ones.
        """
        return cls(parse_steps(steps, total), parse_box(box))

    def check(self, layer: Layer, total: int) -> None:
        """Refuse steps or cells that do not exist.

        Raises:
            UsageError: The steps are not among the `total` ones, or the box does not lie in the layer's grid.
        """
        from autointerp.diffusion.edits import box_mask

        if self.steps is not None:
            _check_steps(*self.steps, total, ":".join(map(str, self.steps)))
        if self.box is not None:
            box_mask(self.box, layer)

    def text(self, total: int) -> str:
        """Return the region in words, for a line below a picture."""
        first, end = self.steps or (0, total)
        cells = "all cells" if self.box is None else f"cells {','.join(map(str, self.box))}"
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
