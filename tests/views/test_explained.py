"""An explained picture: places in words, the keys of `explain --json`, and the overlay."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.views.explained import ActiveFeature, ExplainedPicture


def active(cell: tuple[int, int] = (0, 3), name: str = "red circle") -> ActiveFeature:
    heat = np.zeros((4, 4), np.float32)
    heat[cell] = 2.0
    return ActiveFeature("d:1", "mid", name, "It is red.", None, 2.0, 0.5, 0.06, cell, 1, (8, 0, 16, 8), heat)


@pytest.mark.parametrize(
    ("cell", "where"), [((0, 0), "top left"), ((0, 3), "top right"), ((2, 1), "middle left"), ((3, 2), "bottom center")]
)
def test_the_ninth_of_the_picture(cell: tuple[int, int], where: str) -> None:
    assert active(cell).where == where


def test_every_key_in_its_order() -> None:
    found = ExplainedPicture("a cat", "prompt", 7, Image.new("RGB", (32, 16)), (active(),)).as_dict()
    assert list(found) == ["source", "kind", "seed", "size", "features"]
    assert (found["size"], found["seed"]) == ([32, 16], 7)
    keys = ["feature", "layer", "name", "explanation", "score", "activation", "strength", "cells", "step"]
    assert list(found["features"][0]) == [*keys, "cell", "box"]
    assert (found["features"][0]["cell"], found["features"][0]["box"]) == ([0, 3], [8, 0, 16, 8])


def test_the_overlay_has_a_panel_for_each_feature() -> None:
    picture = Image.new("RGB", (32, 32), "grey")
    bare, few, many = (
        ExplainedPicture("a cat", "prompt", 0, picture, (active(),) * count).overlay() for count in (0, 2, 6)
    )
    assert few.width > bare.width
    assert many.height > few.height
