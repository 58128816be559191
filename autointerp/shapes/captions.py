"""Captions of the world of shapes as prompts, without end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.hashes import content_hash
from autointerp.diffusion.sources.protocol import HELD_OUT_SEEDS, Found
from autointerp.shapes.scenes import sample_held_out_scene, sample_scene
from autointerp.sizes import Size

_HARVEST_STREAM, _HELD_OUT_STREAM = 31, 32
"""Numbers that part the random draws of a run's captions from those of held-out captions."""


class ShapesPrompts:
    """A `PromptSource` of captions of random scenes; caption n is always the same."""

    spec = "shapes"
    count = None
    sizes: Mapping[Size, str] = {}

    @cached_property
    def identity(self) -> str:
        """A hash of the first captions, which changes when the world does."""
        return content_hash([job.prompt for job in self.jobs(0, 64, 0)])

    def found(self) -> Found:
        """Return nothing: the captions have no end, and all fit the model."""
        return Found()

    def jobs(self, start: int, stop: int, seed: int) -> list[ImageJob]:
        """Return the images `start` to `stop` (exclusive) of a run with this base seed."""

        def caption(n: int) -> str:
            return sample_scene(np.random.default_rng((seed, _HARVEST_STREAM, n))).caption

        return [ImageJob(n, caption(n), seed + n) for n in range(start, stop)]

    def held_out(self, count: int, seed: int, used: int = 0) -> list[ImageJob]:
        """Return images whose captions neither a trainer of the package saw nor one of the first `used` images has."""
        taken = {job.prompt for job in self.jobs(0, used, seed)}
        jobs: list[ImageJob] = []
        n = 0
        while len(jobs) < count:
            prompt = sample_held_out_scene(np.random.default_rng((seed, _HELD_OUT_STREAM, n))).caption
            if prompt not in taken:
                jobs.append(ImageJob(len(jobs), prompt, HELD_OUT_SEEDS + seed + len(jobs)))
            n += 1
        return jobs
