"""Pictures that the vision-language model is trained on."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.oracle import Oracle
from autointerp.shapes.scenes import ATTRIBUTES, held_out
from training.shapes import vlm_pool
from training.shapes.__main__ import WEIGHTS
from training.shapes.vlm_pool import LEFT_OUT, _scenes, joined, painted_pool


def test_pictures_are_of_captions_that_trainers_may_see_and_of_others_to_measure():
    assert not any(held_out(scene.caption) for scene in _scenes(61, 40, 0, False))
    assert all(held_out(scene.caption) for scene in _scenes(61, 40, 0, True))


def test_painted_pictures_are_the_same_from_their_file(pool, tmp_path, monkeypatch):
    made = pool.pictures[:24]
    # A pipeline's pictures are a view with the channels last, not an array that lies so.
    painted = np.ascontiguousarray(made.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    monkeypatch.setattr(vlm_pool, "generate", lambda *args: painted)
    for _ in range(2):
        found = painted_pool(tmp_path / "painted.safetensors", WEIGHTS, len(made))
        np.testing.assert_array_equal(found.pictures, made)
        agree = [np.mean(found.cells[name] == pool.cells[name][:24]) for name in ATTRIBUTES]
        assert min(agree) > 0.95


def test_a_mirrored_pool_is_as_true(pool):
    mirrored = pool.mirrored()
    read = Oracle.load().read(mirrored.pictures[:64])
    agree = [np.mean(read[name] == mirrored.cells[name][:64]) for name in ATTRIBUTES]
    assert min(agree) > 0.95
    np.testing.assert_array_equal(mirrored.mirrored().pictures, pool.pictures)


def test_what_is_left_out_is_in_no_picture(pool):
    kept = pool.without(LEFT_OUT)
    assert 0 < len(kept) < len(pool)
    rows = [i for i, c in enumerate(kept.concepts) if c.name in LEFT_OUT]
    assert len(rows) == len(LEFT_OUT)
    assert not kept.masks[rows].any()
    assert pool.masks[rows].any()
    with pytest.raises(ValueError, match="concepts"):
        pool.without(["crimson"])
    assert len(joined([pool, kept])) == len(pool) + len(kept)
