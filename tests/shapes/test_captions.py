from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.shapes.captions import ShapesPrompts
from autointerp.shapes.scenes import held_out


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 200), st.integers(1, 8), st.integers(0, 5))
def test_image_n_depends_on_n_and_the_seed_alone(start: int, count: int, seed: int) -> None:
    prompts = ShapesPrompts()
    jobs = prompts.jobs(start, start + count, seed)
    assert [job.index for job in jobs] == list(range(start, start + count))
    assert [job.seed for job in jobs] == [seed + n for n in range(start, start + count)]
    assert prompts.jobs(start + count - 1, start + count, seed) == jobs[-1:]


def test_held_out_captions_are_of_no_trainer_and_of_no_image_of_the_run() -> None:
    prompts = ShapesPrompts()
    found = prompts.held_out(20, 3, used=200)
    used = {job.prompt for job in prompts.jobs(0, 200, 3)}
    assert all(held_out(job.prompt) for job in found)
    assert not used & {job.prompt for job in found}
    assert len({job.seed for job in found}) == 20


def test_the_identity_changes_with_the_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ShapesPrompts().identity
    assert ShapesPrompts().identity == before
    monkeypatch.setattr(ShapesPrompts, "jobs", lambda self, start, stop, seed: [ImageJob(0, "another world", 0)])
    assert ShapesPrompts().identity != before


def test_captions_of_the_world_depend_on_their_number_alone() -> None:
    source = load_prompts("shapes")
    jobs = source.jobs(0, 20, 7)
    assert source.jobs(5, 9, 7) == jobs[5:9]
    assert [j.seed for j in jobs] == list(range(7, 27))
    assert len({j.prompt for j in jobs}) > 15
    assert [j.prompt for j in source.jobs(0, 20, 8)] != [j.prompt for j in jobs]
    assert source.identity == load_prompts("shapes").identity


def test_held_out_captions_and_seeds_are_those_of_no_crop() -> None:
    source = load_prompts("shapes")
    used = source.jobs(0, 500, 0)
    held_out = source.held_out(100, 0, used=500)
    assert len(held_out) == 100
    assert held_out == source.held_out(100, 0, used=500)
    assert not {j.prompt for j in used} & {j.prompt for j in held_out}
    assert not {j.seed for j in used} & {j.seed for j in held_out}
