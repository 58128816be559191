"""PRX: one stack of blocks of the image alone, which attend to a text that stays the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.pixart import PixArtSigma
from autointerp.diffusion.families.transformer import at_shares


class PRX(PixArtSigma):
    """PRX, with either kind of autoencoder."""

    name = "prx"
    pipeline_class = "PRXPipeline"
    defaults = ModelDefaults(steps=28, guidance=4.0, size=512, max_sequence_length=256, capture_steps=(0,))
    timestep_scales = (1000.0,)
    needs = ("ftfy",)
    limits = "needs ftfy, by which it cleans prompts"
    has_neurons = False
    has_loras = False
    word_attention = None

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return [f"transformer.blocks.{i}" for i in range(configs["transformer"]["depth"])]

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares(self.hookpoints(configs))

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return int(configs["transformer"]["hidden_size"])

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Switch off the rounding of sizes to those of the training; the pipeline refuses a guidance below 1."""
        return PipelineCall({"guidance_scale": max(guidance, 1.0), "use_resolution_binning": False}, 1)

    @override
    def mended(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give each row its timestep: under guidance, the pipeline gives two for however many images."""
        return {**inputs, "timestep": inputs["timestep"][:1].expand(len(inputs["hidden_states"]))}

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        size = configs["model_index"].get("default_sample_size")
        return {"size": size} if type(size) is int else {}


PRX_IMAGE = PRX()
