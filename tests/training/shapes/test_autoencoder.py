"""Training of the autoencoder."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import AutoencoderTiny

from training.shapes.__main__ import WEIGHTS
from training.shapes.autoencoder import new_autoencoder, pictures, reconstruction_db

pytestmark = pytest.mark.training


def test_pictures_are_drawn_from_their_generator_alone() -> None:
    one, again = (pictures(np.random.default_rng(3), 2) for _ in range(2))
    assert one.shape == (2, 3, 96, 96)
    assert torch.equal(one, again)
    assert -1 <= float(one.min()) < float(one.max()) <= 1


def test_the_shipped_autoencoder_is_the_one_that_is_trained_and_better_than_none() -> None:
    fresh = new_autoencoder().eval()
    shipped = AutoencoderTiny.from_pretrained(WEIGHTS / "model" / "vae").float().eval()
    assert {n: p.shape for n, p in fresh.named_parameters()} == {n: p.shape for n, p in shipped.named_parameters()}
    images = pictures(np.random.default_rng(4), 4)
    assert reconstruction_db(shipped, images) > 20 > reconstruction_db(fresh, images)
