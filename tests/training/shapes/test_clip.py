"""Training of the image-text embedder."""

from __future__ import annotations

import numpy as np
import pytest

from autointerp.shapes.scenes import render
from training.shapes.clip import ClipTrainer
from training.shapes.oracle import reconstructed_scene

pytestmark = pytest.mark.training


def test_crops_and_phrases_of_a_step_follow_from_its_number() -> None:
    pool = np.stack([render(reconstructed_scene(0, i)).image for i in range(8)])
    trainer = ClipTrainer(pool, steps=2, scenes=4, crops=3)
    crops, phrases = trainer.draw(1)
    again, same = trainer.draw(1)
    assert len(crops) == 4 * 3
    assert phrases == same
    assert phrases != trainer.draw(0)[1]
    for one, other in zip(crops, again, strict=True):
        assert (one.picture == other.picture).all()
