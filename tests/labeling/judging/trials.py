"""Evidence of a feature, and trials that a score makes of it, which the tests of all scores share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from autointerp.labeling.judging.methods import Method
from autointerp.labeling.protocol import BaseRate, ScoreEvidence, ScoreResult, Trial

from ..conftest import World


def evidence_of(world: World, latent: int, crops: int = 16) -> ScoreEvidence:
    """A feature that fires in a few cells, and all that trials of it are made of."""
    cells = world.anywhere(8 * crops, seed=latent)
    shown = [world.crop(image, cell, 2.0 - i / 100) for i, (image, cell) in enumerate(cells)]
    marked = [world.crop(image, cell, 1.0) for image, cell in world.anywhere(2 * 60, seed=latent + 1000)]
    parts = [shown[i * crops : (i + 1) * crops] for i in range(6)]
    silent = [replace(c, role="negative", cell=None, activation_map=None, activation=0.0) for c in parts[1] + parts[2]]
    unrelated = tuple((f"a {word} thing, {i}", i) for i in range(30) for word in ("plain", "red"))
    return ScoreEvidence(
        latent,
        firing=tuple(parts[0]),
        silent=tuple(silent[:crops]),
        hard=tuple(silent[crops:]),
        foreign=tuple(parts[3]),
        seen=tuple(parts[4]),
        others=tuple(parts[5][:5]),
        unrelated=unrelated,
        active=tuple(marked[:60]),
        cells=tuple(marked[60:]),
        namesakes=tuple(parts[3]),
    )


def trials_of(method: Method, world: World, latent: int, **given: int) -> list[Trial]:
    rng = np.random.default_rng((0, latent))
    return method.trials("red circle", "Fires on red.", evidence_of(world, latent, **given), rng)


def scored(method: Method, judge: Any, world: World, latent: int, **given: int) -> ScoreResult:
    """The score of a label by a judge, with the base rate of its name where the score has one."""
    base = None
    if shared := method.shared_trials("red circle", evidence_of(world, latent, **given)):
        answers = [verdict.holds for verdict in judge.judge(shared)]
        base = BaseRate(answers.count(True), answers.count(False))
    return method.result(method.ask(judge, trials_of(method, world, latent, **given), base), latent, base)
