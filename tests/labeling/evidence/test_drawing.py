from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autointerp.labeling.evidence.drawing import ActivePicture, active_picture, draw_cells

from ..conftest import World


def picture(world: World, image: int, cells: int, stands_for: float = 1.0) -> ActivePicture:
    heat = np.zeros(64, np.float32)
    heat[:cells] = np.linspace(1.0, 0.6, cells)
    crop = replace(world.crop(0, (0, 0), 1.0), image_id=image, activation_map=heat.reshape(8, 8))
    found = active_picture(crop, 2.0, stands_for)
    assert found is not None
    return found


def test_cells_above_a_quarter_of_the_maximum_are_active(world: World) -> None:
    heat = np.zeros((8, 8), np.float32)
    heat[1, 2], heat[3, 4], heat[5, 6] = 4.0, 1.01, 1.0
    crop = replace(world.crop(0, (1, 2), 4.0), activation_map=heat)
    found = active_picture(crop, 4.0)
    assert found is not None
    assert found.cells.tolist() == [10, 28]
    assert active_picture(crop, 40.0) is None
    assert active_picture(replace(crop, activation_map=None), 4.0) is None
    drawn = draw_cells([found], 5, np.random.default_rng(0))
    assert sorted((one.cell, round(one.activation, 2)) for one in drawn) == [((1, 2), 4.0), ((3, 4), 1.01)]
    for one in drawn:
        assert one.cell is not None
        left, top, right, bottom = one.box
        assert left <= one.cell[1] * 8 < right
        assert top <= one.cell[0] * 8 < bottom


def test_few_cells_are_all_drawn_once(world: World) -> None:
    pictures = [picture(world, image, 1 + image) for image in range(4)]
    drawn = draw_cells(pictures, 10, np.random.default_rng(0))
    assert len({(one.image_id, one.cell) for one in drawn}) == len(drawn) == 10


def test_no_picture_has_two_draws_while_its_equals_have_none(world: World) -> None:
    pictures = [picture(world, image, 6) for image in range(30)]
    for seed in range(20):
        drawn = draw_cells(pictures, 20, np.random.default_rng(seed))
        assert len({one.image_id for one in drawn}) == 20


def test_the_plain_share_estimates_that_of_all_active_cells(world: World) -> None:
    """Strong pictures are kept for certain, and of the weak ones a fifth; the name holds in the strong ones alone."""
    rng = np.random.default_rng(0)
    strong, weak = [(image, 8) for image in range(10)], [(image, int(rng.integers(1, 6))) for image in range(10, 110)]
    truth = sum(cells for _, cells in strong) / sum(cells for _, cells in strong + weak)
    shares, plain = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        kept = [weak[i] for i in rng.permutation(len(weak))[:20]]
        pictures = [picture(world, *one) for one in strong] + [picture(world, image, n, 5.0) for image, n in kept]
        shares.append(np.mean([one.image_id < 10 for one in draw_cells(pictures, 20, rng)]))
        unweighted = [replace(one, stands_for=1.0) for one in pictures]
        plain.append(np.mean([one.image_id < 10 for one in draw_cells(unweighted, 20, rng)]))
    assert np.mean(shares) == pytest.approx(truth, abs=0.02)
    # Without the weights the strong pictures would speak for all.
    assert np.mean(plain) > truth + 0.2


@pytest.mark.parametrize("most", [None, 1])
@pytest.mark.parametrize("count", [20, 60, 400])
def test_weights_give_back_the_true_share(world: World, count: int, most: int | None) -> None:
    """Pictures are sampled as a harvest does it: by their active cells, each with a known probability.

    The name holds in pictures of many cells. A count of 400 is more than the sampled pictures have.
    """
    draw = np.random.default_rng(0)
    cells = np.concatenate([draw.integers(1, 5, 300), draw.integers(15, 25, 20)])
    holds = np.arange(320) >= 300
    truth = cells[holds].sum() / cells.sum()
    assert 0.3 < truth < 0.5
    shares, totals = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        priority = rng.random(len(cells)) / cells
        order = np.argsort(priority)
        kept, limit = order[:40], priority[order[40]]
        pictures = [
            picture(world, int(image), int(cells[image]), 1 / min(1.0, float(cells[image] * limit))) for image in kept
        ]
        drawn = draw_cells(pictures, count, rng, most)
        weight = np.array([one.weight for one in drawn])
        shares.append(weight @ [holds[one.image_id] for one in drawn] / weight.sum())
        totals.append(weight.sum())
        assert len(drawn) == min(count, sum(min(len(one.cells), most or 99) for one in pictures))
    assert np.mean(totals) == pytest.approx(cells.sum(), rel=0.03)
    assert np.mean(shares) == pytest.approx(truth, abs=0.03)


def test_the_order_says_nothing(world: World) -> None:
    """A test that stops early sees a sample of all cells."""
    pictures = [picture(world, 0, 20), *(picture(world, image, 1) for image in range(1, 21))]
    first = [draw_cells(pictures, 20, np.random.default_rng(seed))[0].image_id == 0 for seed in range(400)]
    assert np.mean(first) == pytest.approx(0.5, abs=0.08)
