"""Sana and Sana Sprint: few large tokens of the image alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.pixart import PixArtSigma
from autointerp.errors import UsageError


class Sana(PixArtSigma):
    """Sana 0.6B and 1.6B, whose blocks hold image tokens alone."""

    name = "sana"
    pipeline_class = "SanaPipeline"
    defaults = ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=300, capture_steps=(0,))
    has_neurons = False
    has_loras = True
    limits = "run without the instruction before each prompt"
    # The configuration's `timestep_scale` is 1 or 0.001.
    timestep_scales = (1.0, 1000.0)

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Switch off the instruction before each prompt, its rewriting, and the rounding of sizes."""
        arguments = {"guidance_scale": guidance, "use_resolution_binning": False, "clean_caption": False}
        return PipelineCall({**arguments, "complex_human_instruction": None}, 1)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise UsageError(
            f"the MLP of {hookpoint} is one of convolutions", "fit another kind than neurons and transcoders"
        )


class SanaSprint(Sana):
    """Sana Sprint, which takes guidance as an input, and whose scheduler tells the time as an angle."""

    name = "sana-sprint"
    pipeline_class = "SanaSprintPipeline"
    defaults = ModelDefaults(steps=2, guidance=4.5, size=1024, max_sequence_length=300, capture_steps=(0,))
    doubles = False
    unrun = 1
    limits = "run without the instruction before each prompt; takes no negative prompt"

    @override
    def schedule(self, steps: int) -> Mapping[str, Any]:
        """Unset the pipeline's default for the angle of the second step, which it takes for runs of two steps alone."""
        return {} if steps == 2 else {"intermediate_timesteps": None}

    @override
    def timesteps(self, given: float) -> tuple[float, ...]:
        """Return the scheduler's angle of the noise's share that the denoiser is given, sin / (sin + cos)."""
        return (math.atan2(given, 1 - given),)


SANA = Sana()
SANA_SPRINT = SanaSprint()
