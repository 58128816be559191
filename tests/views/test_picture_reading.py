"""A picture read for a page: maps at every step, words, and prompts that look like files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autointerp.errors import AutointerpError, UsageError
from autointerp.project.context import Context
from autointerp.project.workspace import WorkspaceFolder
from autointerp.views.explain import ExplainRequest, explain
from autointerp.views.picture_reading import PictureReading, map_line, read_picture_file, read_prompt_picture

PROMPT = "large red striped circle center, sand background"


@pytest.fixture(scope="module")
def ctx(labeled: Path) -> Context:
    return Context(WorkspaceFolder(labeled))


@pytest.fixture(scope="module")
def reading(ctx: Context) -> PictureReading:
    return read_prompt_picture(ctx, PROMPT, 5)


def test_the_strongest_features_are_those_of_explain(ctx: Context, reading: PictureReading) -> None:
    found = explain(ctx, ExplainRequest(PROMPT, count=10, unnamed=True, seed=5))
    assert [one.active.feature for one in reading.features[:10]] == [one.feature for one in found.features]
    assert reading.features[0].active.activation == pytest.approx(found.features[0].activation, rel=1e-3)
    assert np.abs(np.asarray(reading.picture, int) - np.asarray(found.picture, int)).max() <= 1


def test_the_largest_of_a_features_maps_is_its_activation(reading: PictureReading) -> None:
    for one in reading.features:
        about = reading.dictionaries[one.dictionary]
        assert (sorted(one.maps), about["fitted"]) == ([0, 1], [1])
        assert max(float(one.maps[step].max()) for step in about["fitted"]) == pytest.approx(
            one.active.activation, abs=1e-3
        )
        assert np.array_equal(one.maps[one.active.step], one.active.activation_map)


def test_a_page_gets_finite_json_with_words_in_the_order_of_the_prompt(reading: PictureReading) -> None:
    said = json.loads(json.dumps(reading.as_dict(), allow_nan=False))
    assert [one["word"] for one in said["words"]] == [
        "large",
        "red",
        "striped",
        "circle",
        "center",
        "sand",
        "background",
    ]
    assert all(max(one["map"][1]) == 255 for one in said["words"])
    first = said["features"][0]
    assert max(max(shares, default=0) for _, shares in first["maps"].values()) == 255
    assert said["dictionaries"][first["dictionary"]]["grid"] == [12, 12]


def test_a_prompt_is_never_a_file(ctx: Context, tmp_path: Path) -> None:
    file = tmp_path / "secret.png"
    Image.new("RGB", (96, 96), (200, 20, 20)).save(file)
    found = read_prompt_picture(ctx, str(file), 1)
    assert len(found.words) > 0, "its words are the path's, because it was painted"
    real = read_picture_file(ctx, file, 1)
    assert (real.words, real.note) == ((), "")
    assert len(real.features) > 0
    assert np.asarray(real.picture)[48, 48].tolist() != np.asarray(found.picture)[48, 48].tolist()


def test_what_cannot_be_read_is_one_line(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the prompt is empty"):
        read_prompt_picture(ctx, "  ", 1)
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(AutointerpError):
        read_picture_file(ctx, tmp_path / "x.png", 1)


def test_a_map_keeps_the_cells_that_show() -> None:
    assert map_line(np.array([[0.0, 1.5], [0.001, 0.5]])) == ([1, 3], [255, 128])
