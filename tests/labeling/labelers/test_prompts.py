from __future__ import annotations

import numpy as np
import pytest

from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.prompts import PromptsLabeler
from autointerp.labeling.protocol import FeatureEvidence, LayerContext

from ..conftest import World


@pytest.fixture
def labeler(world: World) -> PromptsLabeler:
    labeler = PromptsLabeler()
    labeler.prepare(world.context())
    return labeler


def test_names_the_word_that_goes_with_the_feature(world: World, labeler: PromptsLabeler) -> None:
    (result,) = labeler.label([world.feature(0, world.where(lambda color, _: color == "yellow"), 30)])
    assert result.status == "ok"
    assert "yellow" in result.name
    assert "green" not in result.name
    assert 0.3 < result.confidence <= 1
    assert "z =" in result.explanation


def test_names_the_pair_where_the_pair_goes_with_it(world: World, labeler: PromptsLabeler) -> None:
    cells = world.where(lambda color, corner: (color, corner) == ("red", "top left"))
    (result,) = labeler.label([world.feature(0, cells, 20)])
    words = set(result.name.split())
    assert "red" in words
    assert words & {"top", "left"}
    assert not words & {"blue", "right", "bottom"}


def test_nothing_stands_out_in_random_prompts(world: World, labeler: PromptsLabeler) -> None:
    features = [world.feature(i, world.anywhere(16, seed=100 + i)) for i in range(50)]
    assert sum(r.status == "ok" for r in labeler.label(features)) <= 3


def test_one_dominant_crop_proves_nothing(world: World, labeler: PromptsLabeler) -> None:
    cells = world.where(lambda color, _: color == "red")
    crops = (world.crop(*cells[0], 1000.0), *(world.crop(*c, 0.01) for c in world.anywhere(10, seed=5)))
    (result,) = labeler.label([FeatureEvidence("t:0", 0, 0.0, crops)])
    assert result.status == "uninterpretable"


def test_scores_match_the_formula(world: World, labeler: PromptsLabeler) -> None:
    """z of Monroe et al. computed by hand for one phrase."""
    prompts = ("red cat", "red dog", "blue dog", "blue cat", "blue dog")
    labeler.prepare(LayerContext((), prompts))
    crops = tuple(
        world.crop(0, (0, 0), 1.0).__class__(**{**world.crop(0, (0, 0), 1.0).__dict__, "prompt": p})
        for p in ("red cat", "red dog")
    )
    z, coverage = labeler.scores(FeatureEvidence("t:0", 0, 0.0, crops))
    i = labeler._phrases.index(("red",))
    prior = 10 * 2.5 / 6
    delta = np.log((2 + prior) / (2 + 10 - 2 - prior)) - np.log((2 + prior) / (5 + 10 - 2 - prior))
    assert z[i] == pytest.approx(delta / np.sqrt(2 / (2 + prior) + 1 / (10 - prior) + 1 / (13 - prior)))
    assert coverage[i] == 1.0


def test_no_prompts(world: World) -> None:
    labeler = PromptsLabeler()
    labeler.prepare(LayerContext((), ()))
    with pytest.raises(AutointerpError, match="no prompts"):
        list(labeler.label([]))
