from __future__ import annotations

import numpy as np

from autointerp.labeling.judging import score_method

from ..conftest import World
from .trials import evidence_of, trials_of


def test_unrelated_prompts_do_not_say_the_label(world: World) -> None:
    trials = trials_of(score_method("generative"), world, 7)
    assert {t.prompt for t in trials if t.truth} == {"red circle"}
    assert all(t.latent == 7 for t in trials)
    unrelated = [t for t in trials if not t.truth]
    assert len(unrelated) == 16
    assert not any("red" in t.prompt for t in unrelated)
    # Both have the same noise.
    assert [t.seed for t in trials if t.truth] == [t.seed for t in unrelated[:8]]
    too_few = score_method("generative").trials("thing", "", evidence_of(world, 7), np.random.default_rng(0))
    assert too_few == []
