"""Pictures as the eyes of shapes-vlm get them: whole, with one cell marked, or with a feature's whole map marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from autointerp.shapes.scenes import GRID, SIZE
from training.shapes.vlm_requests import mark_of_cell, small

Style = Literal["whole", "cell", "map"]
STEP = SIZE // GRID
DIMMED = 0.55
"""Share of black that is mixed into cells in which a feature is not active."""


@dataclass(frozen=True)
class Site:
    """A picture of a pool as it is shown: `mask` bool [GRID, GRID] is what is marked, all False for a whole one."""

    picture: int
    mask: np.ndarray
    style: Style

    @classmethod
    def whole(cls, picture: int) -> Site:
        """A picture without a mark."""
        return cls(picture, np.zeros((GRID, GRID), bool), "whole")

    @classmethod
    def cell(cls, picture: int, row: int, col: int) -> Site:
        """A picture marked at one cell."""
        mask = np.zeros((GRID, GRID), bool)
        mask[row, col] = True
        return cls(picture, mask, "cell")


def _outline(pixels: np.ndarray) -> np.ndarray:
    """The pixels around a mask, bool [SIZE, SIZE]."""
    padded = np.pad(pixels, 1)
    around = padded[1:-1, :-2] | padded[1:-1, 2:] | padded[:-2, 1:-1] | padded[2:, 1:-1]
    around |= padded[:-2, :-2] | padded[:-2, 2:] | padded[2:, :-2] | padded[2:, 2:]
    return around & ~pixels


def marked_map(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """A picture, uint8 [SIZE, SIZE, 3], of which only the marked cells stay bright, outlined in white."""
    pixels = np.kron(mask, np.ones((STEP, STEP), bool))
    view = np.where(pixels[..., None], picture, picture * np.float32(1 - DIMMED))
    view[_outline(pixels)] = 255
    return np.rint(view).astype(np.uint8)


def shown(pictures: np.ndarray, sites: Sequence[Site]) -> np.ndarray:
    """Views of sites, uint8 [n, SIZE, SIZE, 3]; `pictures` uint8 [m, SIZE, SIZE, 3] are those of the pool, whole."""
    views = pictures[[site.picture for site in sites]]
    for i, site in enumerate(sites):
        if site.style == "map":
            views[i] = marked_map(views[i], site.mask)
        elif site.style == "cell":
            row, col = np.argwhere(site.mask)[0].tolist()
            kept, added = mark_of_cell((row, col))
            views[i] = np.clip(np.rint(views[i] * kept + added), 0, 255)
    return views


def to_eyes(views: np.ndarray, draw: torch.Generator | None = None) -> torch.Tensor:
    """Views as the eyes take them, float32 [n, 3, SIZE, SIZE]; with `draw` a little brighter or darker each."""
    pixels = (torch.from_numpy(views).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.25
    if draw is not None:
        pixels = pixels * (1 + 0.03 * torch.randn(len(pixels), 1, 1, 1, generator=draw))
        pixels = pixels + 0.03 * torch.randn(len(pixels), 3, 1, 1, generator=draw)
    return pixels


__all__ = ["Site", "Style", "marked_map", "shown", "small", "to_eyes"]
