"""Krea 2: one tensor of both streams, the text first, and texts of several layers of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import CallSizes, Configs, PipelineCall, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.qwen_image import TEMPLATE, QwenImage, QwenImageText
from autointerp.diffusion.families.sizes import transformer_width

_REFINERS = "transformer.text_fusion.refiner_blocks"


class Krea2Text(QwenImageText):
    """The text stream of Krea 2: a prompt, its padding, and the end of Qwen-Image's template."""

    padded = True
    closing = 5

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        """Return the template up to the prompt: its end stands behind the padding."""
        return TEMPLATE.partition("{}")[0] + prompt

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the blocks of the text alone, then the common ones."""
        count = configs["transformer"].get("num_refiner_text_blocks", 2)
        return [f"{_REFINERS}.{i}" for i in range(count)] + KREA2.hookpoints(configs)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)


class Krea2(QwenImage):
    """Krea 2, raw and distilled.

    Its blocks return one tensor, the text first, as single blocks of FLUX.1 did in older versions of diffusers. So the
    number of text tokens in a call tells where the image begins.
    """

    name = "krea2"
    pipeline_class = "Krea2Pipeline"
    defaults = ModelDefaults(steps=28, guidance=5.5, size=1024, max_sequence_length=512, capture_steps=(0,))
    few = 8
    has_neurons = False
    limits = "guidance is told as elsewhere: one more than the pipeline calls it"
    text = Krea2Text()

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        if hookpoint.startswith(_REFINERS):
            return int(configs["transformer"].get("text_hidden_dim", 2560))
        return transformer_width(configs)

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Ask for guidance by what the pipeline adds beside the conditional prediction, which is one less."""
        return PipelineCall({"guidance_scale": max(guidance - 1.0, 0.0)}, 2 if guidance > 1 else 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length - self.text.closing),)

    @override
    def sizes(self, inputs: Mapping[str, Any]) -> CallSizes:
        """Read the sizes of a call whose text is [batch, tokens, layers, width]."""
        latents = inputs["hidden_states"]
        return CallSizes(latents.shape[0], inputs["encoder_hidden_states"].shape[1], latents.shape[1])

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {"steps": self.few, "guidance": 0.0} if configs["model_index"].get("is_distilled") else {}


KREA2 = Krea2()
