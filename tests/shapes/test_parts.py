"""The shipped reader of parts reads scenes that no trainer saw, and better than words alone."""

import json

import numpy as np
import pytest
from diffusers import AutoencoderTiny

from autointerp.labeling.cells import PartReader
from autointerp.labeling.windows import WindowEmbedder
from autointerp.shapes.clip import PARTS, ShapesClip
from autointerp.shapes.train.measure import held_out_renders
from autointerp.shapes.train.parts import WINDOWS, cells_of, fit_parts, part_figures, save_parts


@pytest.fixture(scope="module")
def renders():
    return held_out_renders(40, seed=78)


@pytest.fixture(scope="module")
def clip():
    return ShapesClip.load()


def test_shipped_reader_is_small_and_finds_parts(clip, renders):
    assert PARTS.stat().st_size < 20_000
    figures = part_figures(clip, PartReader.load(PARTS, clip), renders)
    assert min(figures[f"{part} found"] for part in ("edge", "inside", "object", "background")) >= 0.85, figures
    assert min(figures[f"{part} right"] for part in ("edge", "inside", "object", "background")) >= 0.8, figures


def test_words_alone_find_fewer_edges(clip, renders):
    crops, classes = cells_of(renders, np.stack([r.image for r in renders]), 0)
    words = clip.embed_texts(["background", "edge", "inside"])
    said = (WindowEmbedder(clip, WINDOWS)(crops) @ words.T).argmax(1)
    read = PartReader.load(PARTS, clip).read(WindowEmbedder(clip, WINDOWS), crops)
    assert (read[classes == 1, 0] >= 0.5).mean() > (said[classes == 1] == 1).mean() + 0.1


def test_fitting_is_repeatable_and_its_file_loads(clip, tmp_path):
    vae = AutoencoderTiny.from_pretrained(PARTS.parents[1] / "model" / "vae").float().eval()
    one, two = (fit_parts(clip, vae, scenes=6, steps=20) for _ in range(2))
    assert one == two
    save_parts(one, tmp_path / "parts.json")
    assert json.loads((tmp_path / "parts.json").read_text()) == one
    reader = PartReader.load(tmp_path / "parts.json", clip)
    assert reader.phrases == ("edge", "inside", "object", "background")
