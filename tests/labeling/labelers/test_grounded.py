"""The labeler `grounded`, with segments that are exact: each phrase has the patches that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autointerp.labeling.labelers.grounded import GroundedLabeler, GroundedOptions, phrases_of
from autointerp.labeling.protocol import FeatureEvidence
from autointerp.worlds import Segment

from ..conftest import COLORS, World
from .test_words import feature_of


class PatchSegments:
    """Finds a colour's cells by their pixels, for phrases that say it; `large` has all patches."""

    name = "patches"

    def __init__(self) -> None:
        self.config: dict[str, Any] = {"confidence": 0.5}
        self.read: list[Any] = []

    def segments(self, picture: Any, phrases: Sequence[str], grid: tuple[int, int]) -> list[Segment]:
        self.read.append(picture)
        pixels = np.asarray(picture).reshape(8, 8, 8, 8, 3)[:, 4, :, 4]
        found = []
        for phrase in phrases:
            said = [color for color in COLORS if color in phrase.split()]
            if said:
                mask = np.abs(pixels.astype(int) - COLORS[said[0]]).sum(-1) < 60
                # A patch fills the middle of its quarter; take the quarter.
                quarters = mask.reshape(2, 4, 2, 4).any((1, 3)).repeat(4, 0).repeat(4, 1)
                found.append(Segment(phrase, mask if said[0] in ("white", "black") else quarters, 1.0))
        return found


def test_names_the_segment_that_overlaps(world: World) -> None:
    features = [feature_of(world, color, i) for i, color in enumerate(("yellow", "red"))]
    results = list(GroundedLabeler(PatchSegments()).label(features))
    assert [result.name for result in results] == ["yellow", "red"], "of equal segments the shorter phrase names"
    assert results[0].confidence > 0.5


def test_a_part_of_a_segment_is_not_enough(world: World) -> None:
    """A quarter of a patch overlaps with the patch by an IoU of 0.25."""
    feature = feature_of(world, "red")
    small = []
    for crop in feature.cells:
        assert crop.activation_map is not None
        heat = crop.activation_map.copy()
        heat[::2], heat[:, ::2] = 0, 0
        small.append(replace(crop, activation_map=heat))
    part = replace(feature, cells=tuple(small))
    (result,) = GroundedLabeler(PatchSegments()).label([part])
    assert result.status == "uninterpretable"
    assert "red" in result.explanation
    (result,) = GroundedLabeler(PatchSegments(), GroundedOptions(min_iou=0.2)).label([part])
    assert result.name == "red"


def test_each_picture_is_read_once(world: World) -> None:
    segments = PatchSegments()
    features = [feature_of(world, "red", i) for i in range(3)]
    list(GroundedLabeler(segments).label(features))
    assert len(segments.read) == len({crop.image_id for crop in features[0].cells})


def test_no_segments(world: World) -> None:
    (result,) = GroundedLabeler(PatchSegments()).label([FeatureEvidence("t:0", 0, 0.0, ())])
    assert result.status == "uninterpretable"


def test_the_segmenter_is_in_its_identity() -> None:
    labeler = GroundedLabeler(PatchSegments())
    assert (labeler.model, labeler.config["confidence"]) == ("patches", 0.5)


@pytest.mark.parametrize(
    ("prompt", "phrases"),
    [
        (
            "red circle top left, night background",
            ["red", "circle", "red circle", "night", "background", "night background"],
        ),
        ("a cat", ["cat"]),
        ("", []),
    ],
)
def test_phrases(prompt: str, phrases: list[str]) -> None:
    assert list(phrases_of(prompt)) == phrases


def test_a_long_clause_has_no_far_pairs() -> None:
    found = phrases_of("one two three four five six seven eight")
    assert "one two" in found
    assert "one three" not in found
