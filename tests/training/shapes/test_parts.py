"""The shipped reader of parts reads scenes that no trainer saw, and better than words alone."""

from __future__ import annotations

import json

import pytest
from diffusers import AutoencoderTiny

from autointerp.labeling.evidence.cells import PartReader
from autointerp.shapes.clip import PARTS, ShapesClip
from training.shapes.measure import held_out_renders
from training.shapes.parts import fit_parts, save_parts


@pytest.fixture(scope="module")
def renders():
    return held_out_renders(40, seed=78)


@pytest.fixture(scope="module")
def clip():
    return ShapesClip.load()


def test_fitting_is_repeatable_and_its_file_loads(clip, tmp_path):
    vae = AutoencoderTiny.from_pretrained(PARTS.parents[1] / "model" / "vae").float().eval()
    one, two = (fit_parts(clip, vae, scenes=6, steps=20) for _ in range(2))
    assert one == two
    save_parts(one, tmp_path / "parts.json")
    assert json.loads((tmp_path / "parts.json").read_text()) == one
    reader = PartReader.load(tmp_path / "parts.json", clip)
    assert reader.phrases == ("edge", "inside", "object", "background")
