from __future__ import annotations

from dataclasses import replace

import numpy as np

from autointerp.labeling.judging import score_method

from ..conftest import World
from .trials import evidence_of, trials_of


def test_half_of_the_others_are_hard(world: World) -> None:
    kinds = [t.kind for t in trials_of(score_method("detection"), world, 0)]
    assert (kinds.count("firing"), kinds.count("hard"), kinds.count("random")) == (10, 5, 5)
    easy = replace(evidence_of(world, 0), hard=())
    kinds = [t.kind for t in score_method("detection").trials("x", "", easy, np.random.default_rng(0))]
    assert (kinds.count("firing"), kinds.count("hard"), kinds.count("random")) == (10, 0, 10)
