from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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


@pytest.mark.parametrize("name", ["night background", "large striped"])
def test_words_that_nearly_every_prompt_says_leave_unrelated_ones(world: World, name: str) -> None:
    ground = ("sky", "night", "sand", "checkered")
    prompts = [
        (f"large red {'striped' if n % 3 else 'dotted'} star top left, {ground[n % 4]} background", n)
        for n in range(60)
    ]
    prompts += [(f"small striped circle, {ground[n % 4]} background", 100 + n) for n in range(10)]
    evidence = replace(evidence_of(world, 7), unrelated=tuple(prompts))
    trials = score_method("generative").trials(name, "", evidence, np.random.default_rng(0))
    unrelated = [trial.prompt for trial in trials if not trial.truth]
    assert len(unrelated) == 16
    assert not any(set(name.split()) <= set(clause.split()) for prompt in unrelated for clause in prompt.split(","))
    if name == "night background":
        assert all("background" in prompt and "night" not in prompt for prompt in unrelated)
