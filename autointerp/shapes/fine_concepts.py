"""The finer list of concepts: what tells two features apart that have one truth on the coarse list.

Sides and corners of objects, cells just outside an object, parts, sides and outer cells with an attribute of the
object, places on a background, the background beside an object, and the border of the picture. A name of the list is
what a label would say, such as `left edge of red object`. Figures of this list are reported apart from those of the
coarse one.
"""

from __future__ import annotations

import numpy as np

from autointerp.shapes.concepts import LEAST_CELLS, REGIONS, Concept, all_concepts, concept_masks
from autointerp.shapes.scenes import ATTRIBUTES

TOWARDS: dict[str, tuple[int, int]] = {"top": (-1, 0), "bottom": (1, 0), "left": (0, -1), "right": (0, 1)}
"""Sides, with the offset (rows, columns) of the neighbour at that side."""
OUTER: dict[str, str] = {"above": "bottom", "below": "top", "left of": "right", "right of": "left"}
"""Where a background's cell lies, and at which side its neighbour is an object's."""
_OF_OBJECTS = ("size", "color", "texture", "shape")
_CORNERS = tuple((row, col) for row in ("top", "bottom") for col in ("left", "right"))


def is_place(concept: Concept) -> bool:
    """Whether a concept is a place in the picture alone, which cells keep when they are moved to other pictures."""
    return concept.kind in ("position", "border")


def noun(kind: str, word: str) -> str:
    """Return the words for an object with an attribute: `red object`, `circle`."""
    return word if kind == "shape" else f"{word} object"


def neighbour(held: np.ndarray, side: str) -> np.ndarray:
    """Return whether the neighbour at a side holds, bool [n, rows, cols]; none outside the picture does."""
    return _shifted(held, *TOWARDS[side])


def beside(held: np.ndarray) -> np.ndarray:
    """Return the cells next to some cells, at a side or a corner, that are none of them, bool [n, rows, cols]."""
    near = np.logical_or.reduce([_shifted(held, row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)])
    return np.asarray(near & ~held)


def _shifted(held: np.ndarray, row: int, col: int) -> np.ndarray:
    _, rows, cols = held.shape
    padded = np.pad(held, ((0, 0), (1, 1), (1, 1)))
    return padded[:, 1 + row : 1 + row + rows, 1 + col : 1 + col + cols]


def fine_masks(cells: dict[str, np.ndarray]) -> tuple[list[Concept], np.ndarray]:
    """Find the cells in which each concept of the finer list holds; the coarse list comes first.

    Args:
        cells: As for `concept_masks`.

    Returns:
        The concepts, and bool [concepts, n, 12, 12] (75 MB for 1,000 pictures).
    """
    coarse, masks = concept_masks(cells)
    added = _added(cells)
    whole = np.empty((len(coarse) + len(added), *masks.shape[1:]), bool)
    whole[: len(coarse)] = masks
    for row, (_, mask) in enumerate(added, len(coarse)):
        whole[row] = mask
    return [*coarse, *(concept for concept, _ in added)], whole


def fine_concepts() -> list[Concept]:
    """Return every concept of the finer list, in the order of the rows of `fine_masks`."""
    nothing = {name: np.full((0, 12, 12), -1, np.int64) for name in ATTRIBUTES}
    return [*all_concepts(), *(concept for concept, _ in _added(nothing))]


def _added(cells: dict[str, np.ndarray]) -> list[tuple[Concept, np.ndarray]]:
    """Return the concepts beyond the coarse list, each with its cells."""
    on = cells["part"] >= 0
    having = {(kind, word): cells[kind] == i for kind in _OF_OBJECTS for i, word in enumerate(ATTRIBUTES[kind])}
    parts = {part: cells["part"] == i for i, part in enumerate(ATTRIBUTES["part"])}
    grounds = {ground: cells["background"] == i for i, ground in enumerate(ATTRIBUTES["background"])}
    sides = {side: on & ~neighbour(on, side) for side in TOWARDS}
    found: list[tuple[Concept, np.ndarray]] = []

    def add(name: str, words: tuple[str, ...], kind: str, mask: np.ndarray) -> None:
        found.append((Concept(name, words, kind, True), mask))  # type: ignore[arg-type]

    for side, mask in sides.items():
        add(f"{side} edge of object", (f"{side} edge",), "side", mask)
    for row, col in _CORNERS:
        add(f"{row} {col} edge of object", (f"{row} {col} edge",), "side", sides[row] & sides[col])
    add("beside object", ("beside", "object"), "outside", beside(on))
    for where, side in OUTER.items():
        add(f"{where} object", (where, "object"), "outside", ~on & neighbour(on, side))
    for (kind, word), mask in having.items():
        thing = noun(kind, word)
        for part, of_part in parts.items():
            add(f"{part} of {thing}", (part, word), "part with attribute", of_part & mask)
        for side, of_side in sides.items():
            add(f"{side} edge of {thing}", (f"{side} edge", word), "side with attribute", of_side & mask)
        add(f"beside {thing}", ("beside", word), "outside", ~on & beside(mask))
        for where, side in OUTER.items():
            add(f"{where} {thing}", (where, word), "outside", ~on & neighbour(mask, side))
    for ground, mask in grounds.items():
        for place, region in REGIONS.items():
            here = np.zeros_like(mask)
            here[(slice(None), *region)] = True
            add(f"{place} {ground} background", (place, ground), "place on background", mask & here)
        shown = (mask.sum((1, 2)) >= LEAST_CELLS)[:, None, None]
        add(f"object on {ground} background", ("object", ground), "background beside", on & shown)
        for part, of_part in parts.items():
            add(f"{part} on {ground} background", (part, ground), "background beside", of_part & shown)
    for side, line in (
        ("top", (0, slice(None))),
        ("bottom", (-1, slice(None))),
        ("left", (slice(None), 0)),
        ("right", (slice(None), -1)),
    ):
        border = np.zeros_like(on)
        border[(slice(None), *line)] = True
        add(f"{side} edge of picture", (f"{side} edge of picture",), "border", border)
    frame = np.logical_or.reduce([mask for concept, mask in found if concept.kind == "border"])
    add("edge of picture", ("edge of picture",), "border", frame)
    return found
