"""Distances between pictures, and gains towards a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from PIL import Image

from autointerp.diffusion.loading import load_model
from autointerp.diffusion.model import Model
from autointerp.diffusion.real import encode_pictures
from autointerp.experiments.likeness import latent_distance, picture_likeness, text_gain
from autointerp.shapes.clip import load_shapes_clip
from autointerp.shapes.scenes import render, sample_scene


def scenes(count: int) -> list[Image.Image]:
    return [Image.fromarray(render(sample_scene(np.random.default_rng(n))).image) for n in range(count)]


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("shapes-turbo", device="cpu", dtype="float32")


class Axes:
    """Pictures by the share of red, green and blue; texts by the colour they say."""

    name, dim = "axes", 3

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.array([[color in text for color in ("red", "green", "blue")] for text in texts], np.float32)

    def embed_images(self, images: Sequence[Image.Image]) -> np.ndarray:
        means = np.array([np.asarray(image).mean((0, 1)) for image in images], np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)


def test_a_gain_is_towards_the_text() -> None:
    red, blue = Image.new("RGB", (8, 8), (255, 0, 0)), Image.new("RGB", (8, 8), (0, 0, 255))
    found = text_gain(Axes(), [red, red, red], [blue, red, blue], ["a blue cat", "a blue cat", "a red cat"])
    np.testing.assert_allclose(found, [1, 0, -1])
    np.testing.assert_allclose(picture_likeness(Axes(), [red, red], [blue, red]), [0, 1])


def test_the_shapes_embedder_sees_a_change_of_colour() -> None:
    from autointerp.shapes.scenes import COLORS

    one, other = (Image.new("RGB", (96, 96), COLORS[color]) for color in ("red", "blue"))
    assert text_gain(load_shapes_clip("cpu"), [one], [other], ["blue"])[0] > 0.05


def test_the_distance_of_latents_is_lpips_form(model: Model) -> None:
    """By hand: unit channels at each place, squared differences, means over places."""
    before, after = scenes(3), scenes(6)[3:]
    found = latent_distance(model, before, after)
    tokens = encode_pictures(model, [*before, *after]).double()
    unit = torch.nn.functional.normalize(tokens, dim=2)
    expected = [float(((unit[i] - unit[3 + i]) ** 2).sum(1).mean()) for i in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert (found > 0.05).all()
    np.testing.assert_allclose(latent_distance(model, before, before), 0, atol=1e-9)
    assert latent_distance(model, [], []).shape == (0,)


def test_only_some_cells_count(model: Model) -> None:
    """A square is painted into the top left quarter: the distance lies there."""
    before = scenes(1)[0]
    after = before.copy()
    after.paste((255, 255, 255), (8, 8, 40, 40))
    inside = np.zeros((2, 2), bool)
    inside[0, 0] = True
    near, far = (latent_distance(model, [before], [after], [mask])[0] for mask in (inside, ~inside))
    assert near > 10 * far
    assert np.isnan(latent_distance(model, [before], [after], [np.zeros((2, 2), bool)])[0])


def test_latents_that_are_not_packed(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """U-Nets take [n, channels, rows, cols]: places are those of the latents."""
    from autointerp.diffusion import real

    latents = torch.zeros(2, 3, 2, 2)
    latents[0, 0], latents[1, 0] = 1.0, 1.0
    latents[1, :, 0, 1] = torch.tensor([0.0, 5.0, 0.0])
    monkeypatch.setattr(real, "encode_pictures", lambda *_: latents)
    picture = Image.new("RGB", (16, 16))
    np.testing.assert_allclose(latent_distance(model, [picture], [picture]), [2 / 4])
    only = np.array([[False, True], [False, False]])
    np.testing.assert_allclose(latent_distance(model, [picture], [picture], [only]), [2])


def test_as_many_of_each() -> None:
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(ValueError, match="1 and 2"):
        picture_likeness(Axes(), [picture], [picture, picture])
