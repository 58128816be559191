"""The concepts of the shapes world: which there are, and the cells in which they hold."""

import numpy as np

from autointerp.shapes.concepts import REGIONS, all_concepts
from autointerp.shapes.scenes import ATTRIBUTES


def test_concepts_are_distinct_and_complete():
    concepts = all_concepts()
    assert len({c.words for c in concepts}) == len(concepts)
    kinds = [c.kind for c in concepts]
    assert {k: kinds.count(k) for k in set(kinds)} == {
        "color": 8, "shape": 6, "texture": 3, "size": 2, "position": 5, "pair": 219,
        "background": 4, "part": 2, "object": 1,
    }  # fmt: skip
    assert {c.name for c in concepts if not c.specific} == {"object", *ATTRIBUTES["background"]}


def test_masks_by_hand(world):
    cells, concepts, masks = world
    of = {c.name: m for c, m in zip(concepts, masks, strict=True)}
    red = cells["color"] == ATTRIBUTES["color"].index("red")
    circle = cells["shape"] == ATTRIBUTES["shape"].index("circle")
    assert np.array_equal(of["red"], red)
    assert np.array_equal(of["red circle"], red & circle)
    assert np.array_equal(of["object"], of["edge"] | of["inside"])
    assert np.array_equal(~of["object"], of["sky"] | of["night"] | of["sand"] | of["checkered"])
    assert of["top left"][:, :6, :6].all()
    assert of["top left"].sum() == 36 * len(cells["part"])
    assert np.array_equal(of["red top left"], red & of["top left"])
    assert all(of[name].mean() == 0.25 for name in REGIONS)
