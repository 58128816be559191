"""Shares of captions that shapes-turbo paints."""

from __future__ import annotations

import numpy as np

from autointerp.shapes.oracle import Oracle
from training.shapes.turbo_measure import Share, shares
from training.shapes.turbo_pairs import (
    CHECKS,
    turbo_scene,
)


def test_shares_count_what_the_oracle_reads(shared):
    from autointerp.shapes.scenes import render

    scenes = [turbo_scene(CHECKS, 0, n) for n in range(8)]
    pictures = np.stack([render(scene).image for scene in scenes])
    figures = shares(Oracle.load(), pictures, scenes)
    assert figures["whole caption"] == Share(8, 8)
    assert figures["color"].asked == sum(len(scene.objects) for scene in scenes)
    pictures[0] = 0
    assert shares(Oracle.load(), pictures, scenes)["whole caption"] == Share(7, 8)
    assert str(Share(7, 8)).split() == ["87.5", "%", "[52.9,", "97.8]", "of", "8"]
