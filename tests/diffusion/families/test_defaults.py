"""Defaults of a model."""

from __future__ import annotations

from autointerp.diffusion.families import ModelDefaults


def test_default_capture_steps_keep_their_noise_level() -> None:
    defaults = ModelDefaults(steps=8, guidance=0, size=96, max_sequence_length=1, capture_steps=(2, 7))
    assert defaults.capture_at(8) == (2, 7)
    assert defaults.capture_at(16) == (4, 14)
    assert defaults.capture_at(1) == (0,)
