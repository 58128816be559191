"""The segments of a picture of shapes, by the oracle: the cells in which each phrase holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from autointerp.shapes.extensions import Atoms
from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import GRID
from autointerp.worlds import Segment

if TYPE_CHECKING:
    from PIL import Image


class OracleSegments:
    """A `Segmenter` of pictures of the shapes world. A phrase that says what this world lacks has no segment.

    Args:
        oracle: Reads the pictures.
    """

    name = "oracle"

    def __init__(self, oracle: Oracle) -> None:
        self.config: dict[str, Any] = {}
        self._oracle = oracle

    def segments(self, picture: Image.Image, phrases: Sequence[str], grid: tuple[int, int]) -> list[Segment]:
        """See `Segmenter`."""
        atoms = Atoms.of_cells(self._oracle.read([picture]))
        found = []
        for phrase in dict.fromkeys(phrases):
            meaning = atoms.extension(phrase)
            mask = _on(meaning.holds[0], grid)
            if not meaning.problem and mask.any():
                found.append(Segment(phrase, mask, 1.0))
        return found


def _on(mask: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Return a mask of the oracle's grid on another one: each cell takes the value at its middle."""
    rows, cols = ([(2 * at + 1) * GRID // (2 * size) for at in range(size)] for size in grid)
    return np.asarray(mask[np.ix_(rows, cols)])


def load_segments() -> OracleSegments:
    """Load the shipped oracle as a segmenter."""
    return OracleSegments(Oracle.load())
