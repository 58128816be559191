"""Prompts, and the images that a list of them makes."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from autointerp.diffusion.sources.prompt import LONGEST, Prompt, check_prompt, held_out_jobs, job_of
from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS
from autointerp.errors import AutointerpError

PROMPTS = [Prompt("a", seed=7), Prompt("b", size="96x64")]


def test_a_prompts_own_seed_holds_the_first_time_round() -> None:
    jobs = [job_of(PROMPTS, n, 100) for n in range(4)]
    assert [job.seed for job in jobs] == [7, 101, 102, 103]
    assert [job.prompt for job in jobs] == ["a", "b", "a", "b"]
    assert [job.size for job in jobs] == [None, "96x64", None, "96x64"]


@given(st.integers(0, 2**20), st.integers(1, 9))
def test_held_out_seeds_are_those_of_no_harvested_image(seed: int, count: int) -> None:
    jobs = held_out_jobs(PROMPTS, count, seed)
    assert len({job.seed for job in jobs}) == count
    assert min(job.seed for job in jobs) == HELD_OUT_SEEDS + seed


@pytest.mark.parametrize("prompt", ["\0", "half \ud800 pair", "x" * (LONGEST + 1)])
def test_prompts_that_cannot_be_stored_are_refused(prompt: str) -> None:
    check_prompt("x" * LONGEST, "here")
    with pytest.raises(AutointerpError, match="^here: "):
        check_prompt(prompt, "here")
