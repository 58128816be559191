"""Jobs, their settings, hashes and batches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autointerp.diffusion.families import ModelDefaults
from autointerp.diffusion.jobs import (
    GenerationSettings,
    ImageJob,
    RealPicture,
    batched,
    check_capture_steps,
    generation_hash,
)
from autointerp.errors import UsageError

DEFAULTS = ModelDefaults(steps=8, guidance=2.0, size=96, max_sequence_length=28, capture_steps=(3,))


def test_settings_take_what_is_given_over_the_defaults() -> None:
    settings = GenerationSettings.resolve(DEFAULTS, {"steps": 4, "guidance": None, "size": 64})
    assert settings == GenerationSettings(steps=4, guidance=2.0, size=64, max_sequence_length=28)
    assert GenerationSettings.resolve(DEFAULTS) == GenerationSettings(8, 2.0, 96, 28)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [({"steps": 0}, "steps is 0"), ({"size": -8}, "size of -8"), ({"guidance": -1}, "guidance"),
     ({"guidance": float("nan")}, "guidance"), ({"stps": 1}, "did you mean 'steps'"), ({"steps": 2.5}, "steps is 2.5")],
)  # fmt: skip
def test_settings_that_cannot_be_are_usage_errors(overrides: dict, says: str) -> None:
    with pytest.raises(UsageError) as raised:
        GenerationSettings.resolve(DEFAULTS, overrides)
    assert says in str(raised.value)


def test_capture_steps_are_among_the_steps() -> None:
    assert check_capture_steps([3, 1, 3], 4) == (1, 3)
    with pytest.raises(UsageError, match="from 0 to 3"):
        check_capture_steps([4], 4)


def test_an_image_is_identified_by_all_that_makes_it() -> None:
    settings = GenerationSettings.resolve(DEFAULTS)
    job = ImageJob(4, "p", 1)
    made = ("m", "r", job, settings)
    changed = [("n", "r", job, settings), ("m", "s", job, settings), ("m", "r", replace(job, prompt="q"), settings)]
    changed += [("m", "r", replace(job, seed=2), settings), ("m", "r", replace(job, size="96x64"), settings)]
    changed += [("m", "r", job, GenerationSettings.resolve(DEFAULTS, {"steps": 7}))]
    photo = RealPicture(Path("a.png"), "0123")
    changed += [("m", "r", replace(job, picture=photo), settings)]
    changed += [("m", "r", replace(job, picture=replace(photo, sha256="4567")), settings)]
    changed += [("m", "r", replace(job, picture=replace(photo, inverted=True)), settings)]
    hashes = {generation_hash(*one) for one in (made, *changed)}
    assert len(hashes) == 10
    assert generation_hash(*made) in hashes
    # Neither its number, nor a size that is the run's, nor where a picture lies makes another image of it.
    assert generation_hash("m", "r", replace(job, index=5, size=96), settings) == generation_hash(*made)
    elsewhere = replace(job, picture=replace(photo, path=Path("b.png")))
    assert generation_hash("m", "r", elsewhere, settings) in hashes


def test_images_of_before_there_were_other_shapes_keep_their_hash() -> None:
    """Stored pictures are found by it: a workspace of 0.1.0 would generate all of them again."""
    job = ImageJob(0, "a red circle", 3)
    expected = "b480b1a42ad0a6b5df79923d72b1f850c15812f2be63dbbd656bcdd98a253e2c"
    assert generation_hash("shapes", "sha256-0", job, GenerationSettings(8, 2.5, 96, 28)) == expected


def test_batches_end_where_the_size_changes_and_depend_on_the_jobs_alone() -> None:
    sizes = [None, None, None, "96x64", "96x64", None, 32]
    jobs = [ImageJob(n, "", n, size) for n, size in enumerate(sizes)]
    made = [[job.index for job in batch] for batch in batched(jobs, 2)]
    assert made == [[0, 1], [2], [3, 4], [5], [6]]
    # From the beginning of any batch on they are the same: a run that goes on there has no other ones.
    for i, first in enumerate(made):
        assert [[job.index for job in batch] for batch in batched(jobs[first[0] :], 2)] == made[i:]
