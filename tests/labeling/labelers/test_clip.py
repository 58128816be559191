from __future__ import annotations

import numpy as np
import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.clip import ClipLabeler
from autointerp.labeling.labelers.clip_options import ClipOptions
from autointerp.labeling.labelers.clip_ranking import gain
from autointerp.labeling.protocol import FeatureEvidence, LayerContext

from ..conftest import COLORS, ColorEmbedder, World

VOCABULARY = ("red", "black", "zebra", "steam locomotive", "cat", "purple rain")


@pytest.fixture
def labeler(world: World, embedder: ColorEmbedder) -> ClipLabeler:
    labeler = ClipLabeler(embedder, VOCABULARY, ClipOptions(windows=(2.0,)))
    labeler.prepare(world.context())
    return labeler


def test_names_a_colour_wherever_it_stands(world: World, labeler: ClipLabeler) -> None:
    (result,) = labeler.label([world.feature(0, world.where(lambda color, _: color == "blue"), 20)])
    assert (result.status, result.name) == ("ok", "blue")
    assert result.confidence > 0.5
    assert "percentile" in result.explanation
    assert result.explanation.endswith(").")


def test_names_a_place_whatever_is_there(world: World, labeler: ClipLabeler) -> None:
    (result,) = labeler.label([world.feature(0, world.where(lambda _, corner: corner == "bottom left"), 20)])
    assert result.name.endswith("bottom left")
    assert not any(color in result.name for color in COLORS)


def test_names_both_where_both_hold(world: World, labeler: ClipLabeler) -> None:
    cells = world.where(lambda color, corner: (color, corner) == ("red", "top right"))
    (result,) = labeler.label([world.feature(0, cells, 12)])
    assert result.name == "red, top right"


def test_names_nothing_for_random_cells(world: World, labeler: ClipLabeler) -> None:
    features = [world.feature(i, world.anywhere(16, seed=i)) for i in range(30)]
    named = [r for r in labeler.label(features) if r.status == "ok"]
    assert len(named) <= 1


def test_strong_crops_count_more_than_weak_ones(world: World, labeler: ClipLabeler) -> None:
    red, blue = world.where(lambda color, _: color == "red"), world.where(lambda color, _: color == "blue")
    crops = [world.crop(i, cell, 10.0) for i, cell in red[:12]] + [world.crop(i, cell, 0.2) for i, cell in blue[:8]]
    (result,) = labeler.label([FeatureEvidence("t:0", 0, 0.01, tuple(crops))])
    assert result.name == "red"


def test_background_and_crops_embed_once(world: World, embedder: ColorEmbedder, labeler: ClipLabeler) -> None:
    feature = world.feature(0, world.where(lambda color, _: color == "red"))
    list(labeler.label([feature]))
    seen = embedder.images_seen
    list(labeler.label([feature, feature]))
    assert embedder.images_seen == seen


def test_same_input_same_answer(world: World) -> None:
    features = [world.feature(0, world.where(lambda color, _: color == "green"))]
    answers = []
    for _ in range(2):
        labeler = ClipLabeler(ColorEmbedder(), VOCABULARY, ClipOptions(max_background=100))
        labeler.prepare(world.context())
        answers.append(list(labeler.label(features)))
    assert answers[0] == answers[1]


def test_works_without_prompts(world: World, embedder: ColorEmbedder) -> None:
    """Images of one's own have no prompts: the vocabulary alone names."""
    from dataclasses import replace

    labeler = ClipLabeler(embedder, ("red", "blue", "cat", "zebra"), ClipOptions(windows=(2.0,)))
    context = world.context()
    labeler.prepare(LayerContext(tuple(replace(c, prompt="") for c in context.crops), ()))
    feature = world.feature(0, world.where(lambda color, _: color == "blue"), 20)
    silent = replace(feature, crops=tuple(replace(c, prompt="") for c in feature.crops))
    (result,) = labeler.label([silent])
    assert result.name == "blue"


def test_no_crops_is_uninterpretable_and_no_context_an_error(world: World, labeler: ClipLabeler) -> None:
    (result,) = labeler.label([FeatureEvidence("t:0", 7, 0.0, ())])
    assert (result.feature_id, result.status) == (7, "uninterpretable")
    fresh = ClipLabeler(ColorEmbedder(), VOCABULARY)
    with pytest.raises(AutointerpError):
        list(fresh.label([]))
    with pytest.raises(AutointerpError, match="no crops"):
        fresh.prepare(LayerContext((), ()))


def test_gain_prefers_what_explains() -> None:
    general, narrow = np.array(0.95), np.array(1 / 6)
    assert gain(general, np.array(0.12)) > gain(narrow, np.array(0.02))
    assert gain(np.array(0.95), np.array(0.02)) > gain(np.array(0.95), np.array(0.12))
    assert gain(np.array(0.5), np.array(0.5)) < 0
