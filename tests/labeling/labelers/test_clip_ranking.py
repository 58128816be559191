"""What a reader says takes the place of similarity, and several cells of a crop are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from autointerp.labeling.evidence.windows import WindowEmbedder
from autointerp.labeling.labelers.clip import ClipLabeler, spots
from autointerp.labeling.labelers.clip_options import ClipOptions
from autointerp.labeling.protocol import CropEvidence, FeatureEvidence

from ..conftest import CORNERS, ColorEmbedder, World

Cell = tuple[int, tuple[int, int]]
VOCABULARY = ("red", "black", "zebra", "cat")


class RimReader:
    """Knows by the grid which cells of a patch are its rim and which its core; misses every `blind`th rim cell."""

    name = "rims"
    phrases: tuple[str, ...] = ("rim", "core", "patch", "center")

    def __init__(self, world: World, blind: int = 0, sure: float = 0.98) -> None:
        self.world, self.blind, self.sure = world, blind, sure

    def read(self, windows: WindowEmbedder, crops: Sequence[CropEvidence]) -> np.ndarray:
        found = np.full((len(crops), 4), 1 - self.sure, np.float32)
        for i, crop in enumerate(crops):
            assert crop.cell is not None
            part = part_of(self.world, crop.image_id, crop.cell)
            if part == "rim" and self.blind and sum(crop.cell) % self.blind == 0:
                found[i, [0, 2]] = 0.3
            elif part:
                found[i, self.phrases.index(part)] = found[i, 2] = self.sure
        return found


def part_of(world: World, image: int, cell: tuple[int, int]) -> str | None:
    """Which part of a patch a cell is."""
    corner = next(name for name, at in CORNERS.items() if at == (cell[0] // 4, cell[1] // 4))
    if corner not in world.images[image][2]:
        return None
    return "core" if cell[0] % 4 in (1, 2) and cell[1] % 4 in (1, 2) else "rim"


def cells(world: World, part: str, count: int, seed: int = 3) -> list[Cell]:
    """Cells of a part, each of another image."""
    rng = np.random.default_rng(seed)
    found = []
    for image in rng.permutation(len(world.images))[:count]:
        grid = [(r, c) for r in range(8) for c in range(8) if part_of(world, int(image), (r, c)) == part]
        found.append((int(image), grid[rng.integers(len(grid))]))
    return found


def labeler(world: World, reader: RimReader | None, cells_a_crop: int = 16) -> ClipLabeler:
    options = ClipOptions(windows=(2.0,), spots=cells_a_crop)
    made = ClipLabeler(ColorEmbedder(), VOCABULARY, options, readers=[reader] if reader else [])
    made.prepare(world.context())
    return made


@pytest.mark.parametrize("part", ["rim", "core"])
def test_a_part_is_named_that_no_word_of_the_embedder_tells(world: World, part: str) -> None:
    feature = world.feature(0, cells(world, part, 24), 24)
    (without,) = labeler(world, None).label([feature])
    (result,) = labeler(world, RimReader(world)).label([feature])
    assert result.name == part
    assert without.name != part


def test_what_a_reader_is_known_to_miss_is_made_up_for(world: World) -> None:
    feature = world.feature(0, cells(world, "rim", 40), 40)
    seeing = labeler(world, RimReader(world))
    blind = labeler(world, RimReader(world, blind=3))
    rim = blind.ranking.bank.phrases.index("rim")
    assert blind.ranking.true_rate[rim] < 0.85 < seeing.ranking.true_rate[rim]
    raw = np.mean([sum(cell) % 3 != 0 for _, cell in cells(world, "rim", 40)])
    share = np.zeros(len(blind.ranking.bank.phrases))
    share[rim] = raw
    assert raw < 0.75 < 0.85 < blind.ranking.corrected(share)[rim]
    (result,) = blind.label([feature])
    assert result.name == "rim"


def whole(world: World, image: int, corner: str) -> CropEvidence:
    """A crop that is strongest at a patch's rim and active on all of the patch."""
    row, col = CORNERS[corner]
    crop = world.crop(image, (row * 4, col * 4 + 1), 2.0)
    heat = np.zeros((8, 8), np.float32)
    heat[row * 4 : row * 4 + 4, col * 4 : col * 4 + 4] = np.linspace(1.2, 1.9, 16).reshape(4, 4)
    heat[crop.cell] = 2.0
    return replace(crop, activation_map=heat)


def test_a_feature_is_all_its_active_cells_and_not_its_strongest(world: World) -> None:
    rng = np.random.default_rng(0)
    crops = []
    for image in rng.permutation(len(world.images))[:24]:
        corners = [c for c in world.images[image][2] if c in CORNERS]
        crops.append(whole(world, int(image), corners[rng.integers(len(corners))]))
    feature = FeatureEvidence("t:0", 0, 0.1, tuple(crops))
    (one,) = labeler(world, RimReader(world), cells_a_crop=1).label([feature])
    (many,) = labeler(world, RimReader(world), cells_a_crop=16).label([feature])
    assert (one.name, many.name) == ("rim", "patch")
    assert "over 24 crops" in many.explanation


def test_spots_are_the_strongest_and_others_evenly_below_it(world: World) -> None:
    crop = whole(world, 0, "top left")
    found = spots(crop, 1.5, 4)
    assert found[0] is crop
    assert len(found) == 4
    assert len({s.cell for s in found}) == 4
    strengths = [s.activation for s in found[1:]]
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(1.9)
    assert strengths[-1] < 1.6
    assert min(strengths) >= 1.5
    assert spots(replace(crop, activation_map=None), 1.5, 4) == [replace(crop, activation_map=None)]


def test_readers_are_part_of_the_identity(world: World) -> None:
    plain, reading = (ClipLabeler(ColorEmbedder(), VOCABULARY, readers=r) for r in ([], [RimReader(world)]))
    assert plain.prompt_hash != reading.prompt_hash
