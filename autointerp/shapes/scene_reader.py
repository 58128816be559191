"""Pictures of the shapes world as scenes: which objects they hold, and whether the world could have painted them.

The oracle reads cells. Here they become objects. An object of this world lies within its quadrant of the grid, or alone
at the centre, so the quadrants part objects that touch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from autointerp.shapes.concepts import LEAST_CELLS, REGIONS
from autointerp.shapes.extensions import Atoms
from autointerp.shapes.scenes import ATTRIBUTES, GRID
from autointerp.worlds import SceneFacts, SeenObject

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.shapes.oracle import Oracle

OF_OBJECTS = ("color", "shape", "texture", "size")
AGREE = 0.75
"""A scene is valid only if so many of an object's cells agree on each attribute, and of the background's cells."""
LEAST_AREA = 5
"""Cells of the smallest object of the world, as the oracle reads it: a small cross or ring."""
MOST_OBJECTS = 3
STRAY = 2
"""Cells of objects too small to be one that a valid scene may have: the oracle errs at edges."""
_CENTRAL = 1.5
"""Cells that the middle of a lone object at the centre may be off the grid's middle."""


class ShapesSceneReader:
    """The scene reader of the shapes world.

    Args:
        oracle: What reads cells; the shipped one by default.
    """

    def __init__(self, oracle: Oracle | None = None) -> None:
        self._oracle = oracle

    @property
    def attributes(self) -> Mapping[str, tuple[str, ...]]:
        """The values of each attribute of a cell; the part of an object is left out, as no word of a caption."""
        return {name: ATTRIBUTES[name] for name in (*OF_OBJECTS, "background")}

    def read(self, pictures: Sequence[Image.Image]) -> list[SceneFacts]:
        """Return what is true of each picture."""
        if self._oracle is None:
            from autointerp.shapes.oracle import load_oracle

            self._oracle = load_oracle()
        read = self._oracle.read(pictures)
        return [scene_of_cells({name: cells[i] for name, cells in read.items()}) for i in range(len(pictures))]

    def holds(self, name: str, scenes: Sequence[SceneFacts]) -> np.ndarray | None:
        """Return the cells in which a label's name holds, bool [n, 12, 12]; None if the world lacks its words."""
        stacked = {key: np.stack([scene.cells[key] for scene in scenes]) for key in ATTRIBUTES}
        found = Atoms.of_cells(stacked).extension(name)
        return None if found.problem else found.holds


def scene_of_cells(cells: Mapping[str, np.ndarray]) -> SceneFacts:
    """Read the cells of one picture as a scene.

    Args:
        cells: The value of each attribute, int64 [12, 12], indices into `ATTRIBUTES`, -1 for none.
    """
    here = cells["part"] >= 0
    objects, stray, problems = [], 0, []
    for place, mask in _parted(here).items():
        count = int(mask.sum())
        if count < LEAST_CELLS:
            stray += count
            continue
        one = _object(cells, mask, place)
        objects.append(one)
        if count < LEAST_AREA:
            problems.append(f"an object of {count} cells {place}")
        elif one.agreement < AGREE:
            problems.append(f"the cells of the object {place} disagree")
    objects.sort(key=lambda one: tuple(np.argwhere(one.mask).mean(0)))
    background, agreement = _majority("background", cells["background"][~here])
    if background is None or agreement < AGREE:
        problems.append("the background is not of one kind")
    if not objects:
        problems.append("there is no object")
    elif len(objects) > MOST_OBJECTS:
        problems.append(f"there are {len(objects)} objects")
    if stray > STRAY:
        problems.append(f"{stray} stray cells")
    return SceneFacts(cells, tuple(objects), background, not problems, problems[0] if problems else "")


def _parted(here: np.ndarray) -> dict[str, np.ndarray]:
    """Part the cells of objects by their places: a lone object at the centre, else the quadrants."""
    if here.sum() >= LEAST_AREA:
        middle = np.argwhere(here).mean(0) + 0.5
        central = np.zeros_like(here)
        central[REGIONS["center"]] = True
        # The corners of the grid are the places of other objects, and no object at the centre reaches them.
        if np.abs(middle - GRID / 2).max() <= _CENTRAL and (here & central).sum() >= 0.7 * here.sum():
            return {"center": here}
    return {place: here & _region(place) for place in ("top left", "top right", "bottom left", "bottom right")}


def _region(place: str) -> np.ndarray:
    mask = np.zeros((GRID, GRID), bool)
    mask[REGIONS[place]] = True
    return mask


def _object(cells: Mapping[str, np.ndarray], mask: np.ndarray, place: str) -> SeenObject:
    words, least = {"position": place}, 1.0
    for name in OF_OBJECTS:
        word, agreement = _majority(name, cells[name][mask])
        least = min(least, agreement)
        if word is not None:
            words[name] = word
    return SeenObject(mask, words, least)


def _majority(attribute: str, values: np.ndarray) -> tuple[str | None, float]:
    """Return the commonest value among cells, with the share of the cells that have it."""
    counts = np.bincount(values[values >= 0], minlength=len(ATTRIBUTES[attribute]))
    if not counts.sum():
        return None, 0.0
    return ATTRIBUTES[attribute][int(counts.argmax())], float(counts.max() / max(len(values), 1))
