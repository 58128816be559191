"""Maps of simulated features: which cells of a picture one is active in. No dictionary is looked at.

A feature of a dictionary is active in whole objects or in a part of each, in backgrounds or beside objects, in places,
now in all of their cells and now in a few, and here and there in a cell that has nothing to do with the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autointerp.shapes.scenes import GRID
from training.shapes.wide.truth import IN_PLACE, WideCells
from training.shapes.wide.words import BESIDE, LOOKS, PARTS, PLACES

Map = np.ndarray
"""The cells in which a feature is active, bool [GRID, GRID]."""

SCOPES = ("object", "alike", "objects", "background", "beside", "besides", "gaps", "place", "cells")
_SCOPE_SHARES = (0.4, 0.09, 0.13, 0.12, 0.09, 0.03, 0.03, 0.06, 0.05)
TASTES = ("any", "edge", "inside", "left side", "right side", "top side", "bottom side", "corner", "place", "direction")
_TASTE_SHARES = (0.36, 0.13, 0.13, 0.05, 0.05, 0.05, 0.05, 0.04, 0.07, 0.07)


@dataclass(frozen=True)
class Taste:
    """What of its scope a feature is active in, the same in all pictures of a question.

    `part`: one of `TASTES`. `detail`: the place or the direction in question, or what of `BESIDE`. `share`: of the
    cells that remain, in how many it is active.
    """

    scope: str
    part: str
    detail: int
    share: float


def draw_taste(rng: np.random.Generator) -> Taste:
    """Draw a taste as likely as those of a dictionary's features, about."""
    scope = str(rng.choice(SCOPES, p=_SCOPE_SHARES))
    part = str(rng.choice(TASTES, p=_TASTE_SHARES))
    share = float(rng.choice([1.0, rng.uniform(0.25, 1.0), 0.0], p=[0.5, 0.35, 0.15]))
    return Taste(scope, part, int(rng.integers(840)), share)


def _scope_mask(cells: WideCells, picture: int, taste: Taste, rng: np.random.Generator) -> Map:
    owner = cells.owner[picture]
    there = np.unique(owner[owner >= 0])
    if taste.scope in ("object", "alike", "beside") and len(there):
        chosen = int(rng.choice(there))
        if taste.scope == "object":
            return owner == chosen
        if taste.scope == "alike":
            kind = rng.integers(len(LOOKS))
            words = cells.looks[picture, :, kind]
            return np.isin(owner, [i for i in there if words[i] == words[chosen]])
        part = PARTS.index(BESIDE[taste.detail % len(BESIDE)])
        return (cells.near[picture] == chosen) & (cells.parts[picture] >> part & 1 > 0)
    if taste.scope in ("beside", "besides"):
        return cells.parts[picture] >> PARTS.index(BESIDE[taste.detail % len(BESIDE)]) & 1 > 0
    if taste.scope == "gaps":
        return cells.parts[picture] >> PARTS.index(("between", "open")[taste.detail % 2]) & 1 > 0
    if taste.scope == "background":
        return owner < 0
    if taste.scope == "place":
        return IN_PLACE[taste.detail % len(PLACES)].copy()
    if taste.scope == "cells":
        return rng.random((GRID, GRID)) < rng.uniform(0.01, 0.12)
    return owner >= 0


def draw_map(cells: WideCells, picture: int, taste: Taste, rng: np.random.Generator) -> Map:
    """Draw the map of a feature of this taste in a picture; it may be empty."""
    mask = _scope_mask(cells, picture, taste, rng)
    wanted = mask
    if taste.part in PARTS:
        if taste.scope in ("object", "alike", "objects"):
            wanted = mask & (cells.parts[picture] >> PARTS.index(taste.part) & 1 > 0)
    elif taste.part == "place" and taste.scope != "place":
        wanted = mask & IN_PLACE[taste.detail % len(PLACES)]
    elif taste.part == "direction" and mask.any():
        angle = taste.detail / 840 * 2 * np.pi
        along = np.add.outer(np.arange(GRID) * np.sin(angle), np.arange(GRID) * np.cos(angle))
        wanted = mask & (along >= np.quantile(along[mask], 0.6))
    mask = wanted
    if taste.share < 1 and mask.any():
        # A feature of share 0 is active in one cell of each picture.
        drawn = rng.random(mask.shape)
        drawn[~mask] = 2
        mask = mask & (drawn <= max(taste.share, drawn.min()))
    return mask


def stray(mask: Map, rng: np.random.Generator) -> Map:
    """A map with one to three further cells anywhere."""
    more = mask.copy()
    more.reshape(-1)[rng.integers(GRID * GRID, size=rng.integers(1, 4))] = True
    return more
