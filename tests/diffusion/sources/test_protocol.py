"""The contract of `PromptSource`, held by every source that needs neither a network nor a model."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.diffusion.sources.pictures import load_pictures
from autointerp.diffusion.sources.prompts import load_prompts
from autointerp.diffusion.sources.protocol import PromptSource


@pytest.fixture(params=["shapes", "everyday", "file", "pictures"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> PromptSource:
    if request.param == "pictures":
        for n in range(5):
            Image.new("RGB", (8, 8), (n, 0, 0)).save(tmp_path / f"{n}.png")
        return load_pictures(tmp_path)
    if request.param == "file":
        (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
        return load_prompts(tmp_path / "p.txt")
    return load_prompts(request.param)


def test_image_n_depends_on_its_number_and_the_seed_alone(source: PromptSource) -> None:
    whole = source.jobs(0, 4, 3)
    assert source.jobs(0, 2, 3) + source.jobs(2, 4, 3) == whole
    assert [job.index for job in whole] == [0, 1, 2, 3]
    assert [job.seed for job in source.jobs(0, 4, 4)] != [job.seed for job in whole]


def test_held_out_images_share_prompt_and_seed_with_no_used_one(source: PromptSource) -> None:
    used = {(job.alike, job.seed) for job in source.jobs(0, 4, 0)}
    held_out = {(job.alike, job.seed) for job in source.held_out(3, 0, used=4)}
    assert len(held_out) == 3
    assert not used & held_out


def test_the_identity_is_stable(source: PromptSource) -> None:
    assert source.identity == source.identity
    assert source.identity.startswith("sha256-")
