"""The oracle's segments of a picture of shapes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.shapes.oracle import load_oracle
from autointerp.shapes.scenes import SIZE, render, sample_scene
from autointerp.shapes.segments import OracleSegments, load_segments
from autointerp.worlds import world_of


@pytest.fixture(scope="module")
def segments() -> OracleSegments:
    return load_segments()


def test_a_phrase_has_the_cells_of_its_objects(segments: OracleSegments) -> None:
    scene = sample_scene(np.random.default_rng(4))
    picture = Image.fromarray(render(scene).image)
    one = scene.objects[0]
    found = {s.phrase: s.mask for s in segments.segments(picture, [one.color, one.shape, "zebra", "object"], (12, 12))}
    assert "zebra" not in found
    assert found[one.color].any()
    assert not (found[one.color] & ~found["object"]).any()
    coarse = segments.segments(picture, ["object"], (6, 6))[0].mask
    fine = segments.segments(picture, ["object"], (24, 24))[0].mask
    assert coarse.shape == (6, 6)
    assert abs(coarse.mean() - found["object"].mean()) < 0.2
    np.testing.assert_array_equal(fine[::2, ::2], found["object"])


def test_what_a_picture_lacks_has_no_segment(segments: OracleSegments) -> None:
    sand = Image.new("RGB", (SIZE, SIZE), (225, 200, 150))
    read = load_oracle().read([sand])
    assert (read["part"] < 0).mean() > 0.9
    assert segments.segments(sand, ["striped ring"], (12, 12)) == []


def test_the_world_says_so() -> None:
    assert world_of("shapes").segments is not None
    assert world_of("someone/model").segments is None
