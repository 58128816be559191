"""The shipped oracle and shapes-clip load, keep their seams, and read scenes that no trainer saw."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autointerp.diffusion.generation import generate
from autointerp.diffusion.jobs import GenerationSettings, ImageJob
from autointerp.diffusion.loading import load_model
from autointerp.shapes.clip import FOLDER as CLIP_FOLDER
from autointerp.shapes.oracle import FOLDER as ORACLE_FOLDER, HEADS, cell_accuracy
from training.shapes.measure import follows, held_out_scenes, oracle_accuracy


def test_sizes_on_disk():
    assert sum(p.stat().st_size for p in ORACLE_FOLDER.iterdir()) < 1.5e6
    assert sum(p.stat().st_size for p in CLIP_FOLDER.iterdir()) < 5e6


def test_oracle_reads_held_out_renders(oracle, renders):
    assert min(oracle_accuracy(oracle, renders).values()) >= 0.98


def test_oracle_keeps_the_conventions_of_cells(oracle, renders):
    pictures = np.stack([r.image for r in renders])
    read = oracle.read(pictures, batch=16)
    assert set(read) == set(HEADS)
    here = read["part"] >= 0
    for name, value in read.items():
        assert value.shape == (len(renders), 12, 12)
        assert value.dtype == np.int64
        assert np.array_equal(value >= 0, ~here if name == "background" else here)
    from_pil = oracle.read([Image.fromarray(p) for p in pictures])
    assert all(np.array_equal(from_pil[name], read[name]) for name in HEADS)
    assert oracle.read([])["part"].shape == (0, 12, 12)


def test_oracle_refuses_other_arrays(oracle):
    with pytest.raises(ValueError, match=r"uint8 \[n, 96, 96, 3\]"):
        oracle.read(np.zeros((1, 64, 64, 3), np.uint8))


def test_accuracy_counts_where_an_attribute_holds():
    truth = {name: np.array([0, 0, -1, -1]) for name in HEADS}
    read = {name: np.array([0, 1, -1, 0]) for name in HEADS}
    shares = cell_accuracy(read, truth)
    assert shares["color"] == 0.5
    assert shares["part"] == 0.5
    read["part"] = np.array([0, 0, -1, 0])
    assert cell_accuracy(read, truth)["part"] == 0.75


def test_oracle_reads_captions_off_what_shapes_turbo_paints_in_two_steps(oracle):
    turbo, scenes = load_model("shapes-turbo", device="cpu", dtype="float32"), held_out_scenes(24)
    settings = GenerationSettings.resolve(turbo.defaults, {"steps": 2})
    assert (turbo.defaults.steps, settings.guidance) == (4, 1.0)
    jobs = [ImageJob(i, scene.caption, i) for i, scene in enumerate(scenes)]
    read = [oracle.read(pictures) for _, pictures in generate(turbo, jobs, settings)]
    cells = {name: np.concatenate([one[name] for one in read]) for name in HEADS}
    found = [follows({name: value[i] for name, value in cells.items()}, scene) for i, scene in enumerate(scenes)]
    assert sum(all(ok for oks in one.values() for ok in oks) for one in found) >= 19  # Of 1,000, 93% are right.
