"""Pictures as the eyes get them."""

from __future__ import annotations

import numpy as np

from training.shapes.wide.eyes import as_eyes_get
from training.shapes.wide.pool import world_pool
from training.shapes.wide.views import Site, marked_map, shown


def test_only_marked_cells_stay_bright():
    picture = np.full((96, 96, 3), 100, np.uint8)
    mask = np.zeros((12, 12), bool)
    mask[2:4, 5] = True
    view = marked_map(picture, mask)
    assert (view[16:32, 40:48] == 100).all()
    assert (view[15, 40:48] == 255).all()
    assert (view[24, 39] == 255).all()
    assert (view[60:, :] == 45).all()


def test_whole_pictures_are_shown_as_requests_hold_them():
    pool = world_pool(4)
    pictures = as_eyes_get(pool.pictures)
    assert np.abs(pictures.astype(int) - pool.pictures).mean() < 3
    views = shown(pictures, [Site.whole(1), Site.cell(2, 3, 4)])
    assert np.array_equal(views[0], pictures[1])
    assert not np.array_equal(views[1], pictures[2])
