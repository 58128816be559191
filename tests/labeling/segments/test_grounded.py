"""Detector and segmenter together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autointerp.labeling.segments.detector import PhraseBox
from autointerp.labeling.segments.grounded import GroundedSegments, GroundingOptions

from . import tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))


class TwoStars:
    """Finds two stars, and a cat whose mask is empty."""

    def detect(self, picture: Any, phrases: Any) -> list[PhraseBox]:
        boxes = {"star": [(0.0, 0.0, 32.0, 32.0), (32.0, 32.0, 64.0, 64.0)], "cat": [(0.0, 0.0, 1.0, 1.0)]}
        return [PhraseBox(phrase, box, 0.9 - 0.1 * i) for phrase in phrases for i, box in enumerate(boxes[phrase])]

    def masks(self, picture: Any, boxes: Any) -> np.ndarray:
        found = np.zeros((len(boxes), 64, 64), bool)
        for mask, (left, top, right, bottom) in zip(found, boxes, strict=True):
            mask[int(top) : int(bottom), int(left) : int(right)] = True
        return found


def test_all_things_of_a_phrase_are_one_segment() -> None:
    both = GroundedSegments()
    both._models = (TwoStars(), TwoStars())  # type: ignore[assignment]
    (star,) = both.segments(PICTURE, ["star", "cat"], (2, 2))
    assert (star.phrase, star.confidence) == ("star", 0.9)
    np.testing.assert_array_equal(star.mask, [[True, False], [False, True]])
    assert [thing.confidence for thing, _ in both.things(PICTURE, ["star", "cat"], (2, 2))] == [0.9, 0.8]


def test_models_of_the_real_classes(tmp_path: Path) -> None:
    options = GroundingOptions(
        str(tiny.save_detector(tmp_path / "dino")), str(tiny.save_segmenter(tmp_path / "sam")), 0.01
    )
    found = GroundedSegments(options).segments(PICTURE, ["red circle", "star"], (4, 4))
    assert all(one.mask.shape == (4, 4) and one.mask.any() for one in found)
    assert GroundedSegments(options).config["confidence"] == 0.01


def test_nothing_is_loaded_before_a_picture_is_read() -> None:
    with pytest.raises(Exception, match="nowhere"):
        GroundedSegments(GroundingOptions("./nowhere/at/all", "x")).load()
