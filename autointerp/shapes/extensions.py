"""The extension of a label's name: the cells of pictures in which what it says holds.

Every word of the world is an atom, a mask over cells. A phrase is the intersection of its kinds; of several values of
one kind any one may hold. Object and background exclude each other in a cell, so a phrase that says both is read as an
object in a picture with that background.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from autointerp.shapes.concepts import LEAST_CELLS, REGIONS
from autointerp.shapes.fine_concepts import OUTER, TOWARDS, beside, neighbour
from autointerp.shapes.lexicon import COLUMNS, OBJECT_KINDS, ROWS, SIDES, regions_of
from autointerp.shapes.phrases import SaidPhrase, read_name
from autointerp.shapes.scenes import ATTRIBUTES

Atom = tuple[str, str]
"""A kind and a value, such as `("color", "red")`."""
_CORNERS = tuple((row, column) for row in ROWS for column in COLUMNS)


@dataclass(frozen=True)
class Extension:
    """Where a name holds.

    Attributes:
        holds: The cells, bool of the shape of the atoms.
        weight: Share of the name's alternatives that hold in each cell, float32; 1 where a name without alternatives
            holds.
        problem: Why the name cannot be read, in which case it holds nowhere; empty if it can.
    """

    holds: np.ndarray
    weight: np.ndarray
    problem: str = ""


class Atoms:
    """Masks of the world's words, over cells of pictures or over states that stand for many cells.

    Args:
        masks: A mask for each atom, bool, all of one shape.
        on_grid: Whether the shape is [n, rows, cols], so that neighbours are known.
    """

    def __init__(self, masks: Mapping[Atom, np.ndarray], on_grid: bool) -> None:
        self.masks, self.on_grid = dict(masks), on_grid
        self.shape = self.masks["object", "object"].shape

    @classmethod
    def of_cells(cls, cells: Mapping[str, np.ndarray]) -> Atoms:
        """Make the atoms of pictures.

        Args:
            cells: attribute -> int [n, rows, cols], as for `concept_masks`.
        """
        on = cells["part"] >= 0
        masks: dict[Atom, np.ndarray] = {("object", "object"): on, ("ground", "ground"): ~on}
        for kind, values in ATTRIBUTES.items():
            masks |= {(kind, value): cells[kind] == i for i, value in enumerate(values)}
        for ground in ATTRIBUTES["background"]:
            shown = masks["background", ground].sum((1, 2)) >= LEAST_CELLS
            masks["shown", ground] = np.broadcast_to(shown[:, None, None], on.shape)
        masks |= {("side", side): on & ~neighbour(on, side) for side in TOWARDS}
        masks |= {("side", f"{row} {col}"): masks["side", row] & masks["side", col] for row, col in _CORNERS}
        places = {}
        for place, region in REGIONS.items():
            places[place] = np.zeros(on.shape, bool)
            places[place][(slice(None), *region)] = True
        places |= {side: np.logical_or.reduce([places[place] for place in regions_of(side)]) for side in SIDES}
        masks |= {("place", place): mask for place, mask in places.items()}
        masks |= {("border", side): ~neighbour(np.ones_like(on), side) for side in SIDES}
        masks["border", "any"] = np.logical_or.reduce([masks["border", side] for side in SIDES])
        return cls(masks, True)

    def extension(self, name: str) -> Extension:
        """Return where a label's name holds."""
        meaning = read_name(name)
        if meaning.problem:
            nowhere = np.zeros(self.shape, bool)
            return Extension(nowhere, nowhere.astype(np.float32), meaning.problem)
        weight = _mean([self._weight(phrase) for phrase in meaning.alternatives])
        return Extension(np.asarray(weight > 0), weight)

    def words(self, name: str) -> list[np.ndarray]:
        """Return where each thing that a name says holds, bool of the shape of the atoms; none of an unreadable name.

        Of alternatives any one may hold, so that a name of several phrases says one thing.
        """
        said = read_name(name).alternatives
        if len(said) != 1:
            return [self.extension(name).holds] if said else []
        return [np.asarray(factor > 0) for factor in self._factors(said[0])]

    def _weight(self, phrase: SaidPhrase) -> np.ndarray:
        """Return the share of a phrase's alternatives that hold, float32 of the shape of the atoms."""
        weight = np.ones(self.shape, np.float32)
        for factor in self._factors(phrase):
            weight *= factor
        return weight

    def _factors(self, phrase: SaidPhrase) -> Iterator[np.ndarray]:
        """Yield what each thing that a phrase says contributes to its weight."""
        on_object = not phrase.kinds.isdisjoint(OBJECT_KINDS)
        for kind, values in phrase.said:
            if kind == "ground" and "background" in phrase.kinds:
                continue
            read_as = "shown" if kind == "background" and on_object else kind
            yield _mean([self.masks[read_as, value] for value in values])
        if phrase.beside is not None:
            yield self._beside(*phrase.beside)
        for left_out in phrase.without:
            yield self._weight(left_out) == 0

    def _beside(self, relation: str, of: SaidPhrase) -> np.ndarray:
        if not self.on_grid:
            raise ValueError("states have no neighbours")
        ground, thing = self.masks["ground", "ground"], self._weight(of) > 0
        return ground & (beside(thing) if relation == "beside" else neighbour(thing, OUTER[relation]))


def _mean(masks: list[np.ndarray]) -> np.ndarray:
    return masks[0] if len(masks) == 1 else np.asarray(np.mean(masks, 0, dtype=np.float32))
