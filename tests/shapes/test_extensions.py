"""Where names hold: every concept's own name in its own cells, and what labels say in other words."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.extensions import Atoms
from autointerp.shapes.fine_concepts import fine_masks


@pytest.fixture(scope="module")
def atoms(world) -> Atoms:
    return Atoms.of_cells(world[0])


def test_every_concept_holds_where_its_name_says(world, atoms) -> None:
    for concept, mask in zip(*fine_masks(world[0]), strict=True):
        found = atoms.extension(concept.name)
        assert (found.holds == mask).all(), concept.name
        assert (found.weight == mask).all(), concept.name


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("red circles", "red circle"),
        ("edge of objects", "edge"),
        ("edges of a crimson disc", "edge circle red"),
        ("night background", "night"),
        ("the upper left corner", "top left"),
        ("striped, top left", "striped top left"),
        ("dots on a red thing", "dotted red"),
        ("red circle on a sandy background", "red circle sand background"),
        ("not an object", "background"),
        ("edge or inside of objects", "object"),
        ("solid, striped or dotted objects", "object"),
    ],
)
def test_the_same_in_other_words(atoms, label: str, name: str) -> None:
    assert (atoms.extension(label).holds == atoms.extension(name).holds).all()


def test_alternatives_are_broader_and_count_for_their_share(atoms) -> None:
    found, red, blue = (atoms.extension(name) for name in ("red or blue", "red", "blue"))
    assert (found.holds == (red.holds | blue.holds)).all()
    assert (found.weight == found.holds / 2).all()
    listed = atoms.extension("edge inside large small dotted")
    assert (listed.holds == atoms.extension("dotted").holds).all()
    assert set(np.unique(listed.weight)) == {0, 0.25}


def test_what_contradicts_itself_holds_nowhere(atoms) -> None:
    for name in ("red background", "circle but not object", "sky above nothing", "zeppelin", ""):
        found = atoms.extension(name)
        assert not found.holds.any(), name
        assert bool(found.problem) == (name in ("sky above nothing", "zeppelin", ""))


def test_states_know_no_neighbours(atoms) -> None:
    states = Atoms({key: mask.reshape(-1) for key, mask in atoms.masks.items()}, on_grid=False)
    assert (states.extension("left edge of circle").holds == atoms.extension("left edge of circle").holds.ravel()).all()
    with pytest.raises(ValueError, match="neighbours"):
        states.extension("above a circle")
