from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.shapes.oracle import HEADS, Oracle
from autointerp.shapes.scenes import render, sample_scene
from training.shapes.measure import (
    follows,
    held_out_renders,
    save_sheet,
    score_pictures,
)
from training.shapes.oracle import stack_cells


@pytest.fixture(scope="module")
def renders():
    return held_out_renders(40, seed=77)


def test_true_renders_follow_their_captions(renders):
    oracle = Oracle.load()
    assert min(score_pictures(oracle, np.stack([r.image for r in renders]), [r.scene for r in renders]).values()) > 0.97


def test_follows_sees_what_is_wrong(renders):
    truth = next(r for r in renders if len(r.scene.objects) == 2)
    cells = {name: value[0] for name, value in stack_cells([truth]).items()}
    right = follows(cells, truth.scene)
    assert all(all(oks) for oks in right.values())
    assert len(right["no extra"]) == 2
    many = (sample_scene(np.random.default_rng(i)) for i in range(99))
    other = render(next(scene for scene in many if scene.objects[0].position == "center"))
    wrong = follows({name: value[0] for name, value in stack_cells([other]).items()}, truth.scene)
    assert not all(wrong["no extra"])
    assert not all(wrong["color"])
    empty = {name: np.full((12, 12), -1) for name in HEADS} | {"background": np.zeros((12, 12), int)}
    assert not any(follows(empty, truth.scene)["position"])
    assert not any(follows(empty, truth.scene)["shape"])


def test_sheet(tmp_path):
    pictures = np.stack([r.image for r in held_out_renders(5)])
    save_sheet(pictures, tmp_path / "sheet.png", columns=3)
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (196, 296, 3)
    assert np.array_equal(sheet[100:, 100:196], pictures[4])
    assert np.array_equal(render(held_out_renders(5)[2].scene).image, pictures[2])
