"""What is shown of a unit, as values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.crops.geometry import Box


@dataclass(frozen=True)
class ShownPicture:
    """A picture in which a unit is active.

    Attributes:
        image: Its number.
        cell: Row and column of an active cell, as probable as any other active cell of the picture.
        box: What the crop shows, in pixels of the picture.
        heat: The unit's activations, float32 [rows, cols].
    """

    image: int
    cell: tuple[int, int]
    box: Box
    heat: np.ndarray


@dataclass(frozen=True)
class ShownUnit:
    """What is shown of a unit.

    Attributes:
        pictures: Pictures in which it is active.
        silent: Numbers of pictures in which it is not.
        maximum: Its largest activation in all pictures of the benchmark.
        density: The share of the cells of shown pictures in which it is active.
    """

    pictures: tuple[ShownPicture, ...]
    silent: tuple[int, ...]
    maximum: float
    density: float
