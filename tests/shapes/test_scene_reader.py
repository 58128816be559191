"""Pictures read as scenes: every scene that the world paints is valid and read right; patchworks are not."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.shapes.scene_reader import ShapesSceneReader, scene_of_cells
from autointerp.shapes.scenes import BACKGROUNDS, render, sample_scene

RENDERS = [render(sample_scene(np.random.default_rng(seed))) for seed in range(40)]


def test_what_the_world_paints_is_valid_and_read_right() -> None:
    facts = ShapesSceneReader().read([Image.fromarray(one.image) for one in RENDERS])
    right = 0
    for one, fact in zip(RENDERS, facts, strict=True):
        assert fact.valid, fact.problem
        seen = sorted(
            tuple(o.words[k] for k in ("size", "color", "texture", "shape", "position")) for o in fact.objects
        )
        said = sorted((o.size, o.color, o.texture, o.shape, o.position) for o in one.scene.objects)
        right += seen == said and fact.background == one.scene.background
    assert right >= 38
    assert sum(int(o.mask.sum()) for o in facts[0].objects) == int((facts[0].cells["part"] >= 0).sum())


def test_exact_cells_give_exact_scenes() -> None:
    for one in RENDERS:
        fact = scene_of_cells(one.cells())
        assert fact.valid
        assert len(fact.objects) == len(one.scene.objects)
        assert all(o.agreement == 1.0 for o in fact.objects)


def test_patchworks_are_not_valid() -> None:
    refused = 0
    for number in range(20):
        one, other = RENDERS[number].cells(), RENDERS[number + 20].cells()
        mixed = np.random.default_rng(number).random((12, 12)) < 0.5
        refused += not scene_of_cells({k: np.where(mixed, one[k], other[k]) for k in one}).valid
    assert refused >= 18


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("no object", "there is no object"),
        ("half a background", "the background is not of one kind"),
        ("two colours", "disagree"),
    ],
)
def test_why_a_scene_is_not_valid(change: str, problem: str) -> None:
    lone = next(one for one in RENDERS if len(one.scene.objects) == 1)
    cells = {name: values.copy() for name, values in lone.cells().items()}
    here = cells["part"] >= 0
    if change == "no object":
        for name, values in cells.items():
            values[:] = 0 if name == "background" else -1
    elif change == "half a background":
        left = ~here & (np.arange(12) < 6)[None, :]
        cells["background"][left] = (cells["background"][left] + 1) % len(BACKGROUNDS)
    else:
        own = np.argwhere(here)
        rows, cols = own[: len(own) // 2].T
        cells["color"][rows, cols] = (cells["color"][rows, cols] + 1) % 8
    assert problem in scene_of_cells(cells).problem


def test_where_a_name_holds() -> None:
    reader = ShapesSceneReader()
    facts = [scene_of_cells(one.cells()) for one in RENDERS[:3]]
    held = reader.holds("object", facts)
    assert held is not None
    assert np.array_equal(held, np.stack([fact.cells["part"] >= 0 for fact in facts]))
    assert reader.holds("giraffe", facts) is None
