"""A stored trial says what its crop does not say."""

from __future__ import annotations

import dataclasses

import numpy as np
from PIL import Image

from autointerp.labeling.protocol import CropEvidence, Trial, Verdict
from autointerp.stages.score.trials import stored_trial

CROP = CropEvidence(
    crop_id=7,
    image_id=1,
    prompt="p",
    picture=Image.new("RGB", (8, 8)),
    box=(0, 1, 2, 3),
    grid=(2, 2),
    cell=(1, 0),
    activation=1.0,
    activation_map=np.zeros((2, 2), np.float32),
    role="top",
)


def test_a_crop_is_stored_by_its_id():
    trial = Trial("red", "", CROP, truth=True, kind="firing", panel=2)
    row = stored_trial(Verdict(trial, holds=False, error="", value=0.25))
    assert (row.crop_id, row.kind, row.panel, row.shown) == (7, "firing", 2, {})
    assert (row.truth, row.holds, row.value, row.error) == (True, False, 0.25, "")


def test_a_mark_at_another_place_is_stored_with_its_place():
    row = stored_trial(Verdict(Trial("red", "", CROP, truth=False, kind="displaced"), holds=True))
    assert row.shown == {"box": [0, 1, 2, 3], "cell": [1, 0]}
    without_cell = dataclasses.replace(CROP, cell=None)
    row = stored_trial(Verdict(Trial("red", "", without_cell, truth=False, kind="displaced"), holds=True))
    assert row.shown["cell"] == []


def test_a_generated_picture_is_stored_by_its_source():
    row = stored_trial(Verdict(Trial("red", "", None, truth=True, kind="generated", prompt="a dog", seed=3), value=1.0))
    assert (row.crop_id, row.shown) == (None, {"prompt": "a dog", "seed": 3})
