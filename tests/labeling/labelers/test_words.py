"""The labeler `words`, with maps that are exact: each word lies on its own patch."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pytest

from autointerp.diffusion.word_maps import WordMaps
from autointerp.diffusion.words import words_of
from autointerp.errors import AutointerpError
from autointerp.labeling.labelers.words import WordsLabeler, WordsOptions, pictures_of, word_masks
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence, LayerContext

from ..conftest import CORNERS, World


class PatchMaps:
    """The word maps of the pictures of a `World`: a colour's word lies on its patches, the ground's everywhere else."""

    name = "patches@1"

    def __init__(self, world: World) -> None:
        self.world, self.asked = world, list[set[int]]()

    def of(self, image_ids: Collection[int]) -> dict[int, WordMaps]:
        self.asked.append(set(image_ids))
        return {image: self._of(image) for image in image_ids}

    def _of(self, image: int) -> WordMaps:
        _, prompt, truth = self.world.images[image]
        patches = {corner: np.zeros((8, 8), np.float32) for corner in CORNERS}
        for corner, (row, col) in CORNERS.items():
            patches[corner][row * 4 : row * 4 + 4, col * 4 : col * 4 + 4] = 1.0
        here = {corner: patches[corner] for corner in CORNERS if corner in truth}
        words, maps = words_of(prompt), []
        for word in words:
            own = [patch for corner, patch in here.items() if truth[corner] == word.text]
            ground = 1 - np.sum(list(here.values()), 0)
            even = np.full((8, 8), 0.02, np.float32)
            maps.append(even + 0.1 * (np.sum(own, 0) if own else ground if word.text == truth["ground"] else 0))
        return WordMaps(tuple(words), np.stack(maps).astype(np.float32))


def spread(crop: CropEvidence) -> CropEvidence:
    """The crop with its feature active in the whole patch around its cell."""
    assert crop.cell is not None
    heat = np.zeros((8, 8), np.float32)
    row, col = crop.cell[0] // 4 * 4, crop.cell[1] // 4 * 4
    heat[row : row + 4, col : col + 4] = crop.activation
    return replace(crop, activation_map=heat, active_above=0.25 * crop.activation)


@pytest.fixture
def labeler(world: World) -> WordsLabeler:
    return WordsLabeler(PatchMaps(world))


def feature_of(world: World, color: str, index: int = 0, n: int = 20) -> FeatureEvidence:
    found = world.feature(index, world.where(lambda c, _: c == color), n)
    return replace(found, crops=(), cells=tuple(map(spread, found.crops)))


def test_names_the_word_whose_map_fits(world: World, labeler: WordsLabeler) -> None:
    features = [feature_of(world, color, i) for i, color in enumerate(("yellow", "red", "blue"))]
    results = list(labeler.label(iter(features)))
    assert [result.name for result in results] == ["yellow", "red", "blue"]
    assert all(result.status == "ok" and result.confidence > 0.5 for result in results)
    assert "IoU" in results[0].explanation


def test_a_word_that_few_pictures_say_is_no_name(world: World, labeler: WordsLabeler) -> None:
    """Cells at random lie on every word a little, and on none well."""
    cells = world.feature(0, world.anywhere(20, seed=3), 20)
    (result,) = labeler.label([cells])
    assert result.status == "uninterpretable"
    assert "nearest" in result.explanation


def test_pictures_are_asked_for_once_each_and_few_at_a_time(world: World) -> None:
    maps = PatchMaps(world)
    features = [feature_of(world, "red", i, 4) for i in range(20)]
    labeling = WordsLabeler(maps).label(iter(features))
    next(labeling)
    assert len(maps.asked) == 1, "the first names are there before all pictures were run"
    assert len(list(labeling)) == 19
    assert len(maps.asked) == 5


def test_the_sample_of_active_cells_is_looked_at_before_crops(world: World) -> None:
    both = replace(feature_of(world, "red"), crops=feature_of(world, "blue").cells)
    assert pictures_of(both) == list({c.image_id: c for c in both.cells}.values())
    assert pictures_of(replace(both, cells=()))[0] in both.crops


def test_masks_are_cut_at_a_share_of_the_range_and_leave_place_words_out() -> None:
    heat = np.array([[[0.2, 0.6], [0.3, 1.0]]] * 3, np.float32)
    found = word_masks(WordMaps(tuple(words_of("top of red")), heat), (2, 2), 0.4)
    assert list(found) == ["red"]
    np.testing.assert_array_equal(found["red"], [[False, True], [False, True]])
    coarser = word_masks(WordMaps(tuple(words_of("red")), heat[:1]), (1, 2), 0.4)
    np.testing.assert_array_equal(coarser["red"], [[False, True]])
    assert word_masks(WordMaps((), np.zeros((0, 2, 2), np.float32)), (2, 2), 0.4) == {}


def test_without_prompts_or_maps(world: World, labeler: WordsLabeler) -> None:
    bare = tuple(replace(crop, prompt="") for crop in world.context().crops)
    with pytest.raises(AutointerpError, match="no prompts"):
        labeler.prepare(LayerContext(bare, ("", "")))
    (result,) = labeler.label([FeatureEvidence("t:0", 0, 0.0, ())])
    assert result.status == "uninterpretable"


def test_options_are_in_its_identity(world: World) -> None:
    assert WordsLabeler(PatchMaps(world), WordsOptions(cut=0.5)).config["cut"] == 0.5
    assert WordsLabeler(PatchMaps(world)).model == "patches@1"
