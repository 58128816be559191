"""Pictures of any model as scenes, by detector and segmenter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import UsageError
from autointerp.labeling.segments.detector import PhraseBox
from autointerp.labeling.segments.grounded import GroundedSegments
from autointerp.labeling.segments.scenes import GroundedSceneReader

PICTURE = Image.new("RGB", (64, 64))
GRID = (4, 4)


class Boxes:
    """Finds given boxes; a box is its own mask."""

    def __init__(self, **boxes: list[tuple[float, tuple[float, float, float, float]]]) -> None:
        self.boxes = boxes

    def detect(self, picture: Any, phrases: Any) -> list[PhraseBox]:
        found = [
            PhraseBox(phrase, box, sure)
            for phrase in phrases
            for sure, box in self.boxes.get(phrase.replace(" ", "_"), [])
        ]
        return sorted(found, key=lambda one: -one.confidence)

    def masks(self, picture: Any, boxes: Any) -> np.ndarray:
        found = np.zeros((len(boxes), 64, 64), bool)
        for mask, (left, top, right, bottom) in zip(found, boxes, strict=True):
            mask[int(top) : int(bottom), int(left) : int(right)] = True
        return found


def reader(*phrases: str, **boxes: Any) -> GroundedSceneReader:
    segments = GroundedSegments()
    segments._models = (Boxes(**boxes), Boxes())  # type: ignore[assignment]
    return GroundedSceneReader(segments, phrases, GRID)


def test_things_are_objects_from_top_to_bottom() -> None:
    (scene,) = reader(
        "a cat", "a dog", a_cat=[(0.9, (0, 32, 32, 64))], a_dog=[(0.5, (32, 0, 64, 32)), (0.4, (0, 0, 16, 16))]
    ).read([PICTURE])
    assert [one.words["phrase"] for one in scene.objects] == ["a dog", "a dog", "a cat"]
    assert [one.agreement for one in scene.objects] == [0.4, 0.5, 0.9]
    assert scene.valid
    assert scene.background is None
    assert scene.cells["a dog"][0].tolist() == [0, -1, 0, 0]
    assert scene.cells["a cat"][3].tolist() == [0, 0, -1, -1]


def test_one_thing_of_two_phrases_is_one_object_and_both_hold() -> None:
    both = reader("cat", "black cat", cat=[(0.6, (0, 0, 32, 32))], black_cat=[(0.8, (0, 0, 32, 32))])
    scenes = both.read([PICTURE, PICTURE])
    assert [one.words["phrase"] for one in scenes[0].objects] == ["black cat"]
    for name in ("cat", "Black cat."):
        found = both.holds(name, scenes)
        assert found is not None
        assert found.shape == (2, *GRID)
        assert found[0].sum() == 4
    assert dict(both.attributes) == {"cat": ("cat",), "black cat": ("black cat",)}
    assert both.holds("dog", scenes) is None
    assert both.holds("cat", []) is not None


def test_a_picture_without_what_was_looked_for_is_not_valid() -> None:
    (scene,) = reader("cat").read([PICTURE])
    assert not scene.valid
    assert scene.problem
    assert scene.objects == ()
    assert (scene.cells["cat"] == -1).all()


def test_nothing_to_look_for() -> None:
    with pytest.raises(UsageError, match="nothing to look for"):
        reader(" ", "")
