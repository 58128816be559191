"""The concepts of a shapes picture's cells, and the cells in which each of them holds.

The concepts of a cell are single words (colours, shapes, textures, sizes, backgrounds), positions of the cell in the
picture, pairs of these, parts of objects, and plain `object`. The module needs NumPy alone: it takes the oracle's
readings, but not the oracle.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from autointerp.shapes.scenes import ATTRIBUTES, GRID, POSITIONS

Kind = Literal[
    "color",
    "shape",
    "texture",
    "size",
    "position",
    "pair",
    "background",
    "part",
    "object",
    "side",
    "outside",
    "part with attribute",
    "side with attribute",
    "place on background",
    "background beside",
    "border",
]
"""Kinds of concepts; those from `side` on are of the finer list alone."""

LEAST_CELLS = 3
"""A picture shows a concept if the concept holds in at least so many cells."""

_HALF, _QUARTER = GRID // 2, GRID // 4
REGIONS: dict[str, tuple[slice, slice]] = {
    "top left": (slice(0, _HALF), slice(0, _HALF)),
    "top right": (slice(0, _HALF), slice(_HALF, GRID)),
    "bottom left": (slice(_HALF, GRID), slice(0, _HALF)),
    "bottom right": (slice(_HALF, GRID), slice(_HALF, GRID)),
    "center": (slice(_QUARTER, GRID - _QUARTER), slice(_QUARTER, GRID - _QUARTER)),
}
"""Rows and columns of the grid for each position: the quadrants, and a centre of the same size, which an object at the
centre covers. Every position has the base rate 1/4."""


@dataclass(frozen=True)
class Concept:
    """A concept that can hold in a cell.

    `words` are those that a label must say to name the concept: one, or two for a pair. A position counts as one entry,
    e.g. `("red", "top left")`. A concept is `specific` unless it is a background or plain `object`.
    """

    name: str
    words: tuple[str, ...]
    kind: Kind
    specific: bool


def all_concepts() -> list[Concept]:
    """Return every concept, in the order of the rows of `concept_masks`.

    A pair's words are in the order of captions.
    """
    single: dict[Kind, tuple[str, ...]] = {
        "size": ATTRIBUTES["size"],
        "color": ATTRIBUTES["color"],
        "texture": ATTRIBUTES["texture"],
        "shape": ATTRIBUTES["shape"],
        "position": tuple(POSITIONS),
    }
    concepts = [Concept(word, (word,), kind, True) for kind, words in single.items() for word in words]
    for one, other in combinations(single.values(), 2):
        concepts += [Concept(f"{a} {b}", (a, b), "pair", True) for a in one for b in other]
    concepts += [Concept(word, (word,), "part", True) for word in ATTRIBUTES["part"]]
    concepts += [Concept(word, (word,), "background", False) for word in ATTRIBUTES["background"]]
    return [*concepts, Concept("object", ("object",), "object", False)]


def concept_masks(cells: dict[str, np.ndarray]) -> tuple[list[Concept], np.ndarray]:
    """Find the cells in which each concept holds.

    Args:
        cells: attribute -> int [n, 12, 12], indices into `ATTRIBUTES`, -1 for no value, as `Oracle.read` returns.

    Returns:
        The concepts, and bool [concepts, n, 12, 12] (36 MB for 1,000 pictures). A position holds in every cell of
        its region, object or not; a pair with a position holds in the region's cells that carry the other word.
    """
    shape = cells["part"].shape
    concepts = all_concepts()
    masks = np.zeros((len(concepts), *shape), bool)
    row_of = {concept.words: i for i, concept in enumerate(concepts)}
    for concept, mask in zip(concepts, masks, strict=True):
        if concept.kind == "pair":
            one, other = (masks[row_of[(word,)]] for word in concept.words)
            np.logical_and(one, other, out=mask)
        elif concept.kind == "position":
            mask[(slice(None), *REGIONS[concept.name])] = True
        elif concept.kind == "object":
            np.greater_equal(cells["part"], 0, out=mask)
        else:
            np.equal(cells[concept.kind], ATTRIBUTES[concept.kind].index(concept.name), out=mask)
    return concepts, masks
