"""Classes made of FLUX.1's blocks: Chroma, FLUX.1 Kontext without a reference picture, and Ovis-Image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux import Flux, FluxText


class _OneText(FluxText):
    """A text stream whose only tokenizer is the pipeline's only one."""

    @override
    def parts(self, max_sequence_length: int) -> tuple[tuple[str, int], ...]:
        return (("tokenizer", max_sequence_length),)


class OvisText(_OneText):
    """The text stream of Ovis-Image: a prompt after an instruction, whose first tokens are left out again."""

    marked = False
    dropped = 28
    _instruction = (
        "Describe the image by detailing the color, quantity, text, shape, size, texture, spatial relationships of the "
        "objects and background: "
    )

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        messages = [{"role": "user", "content": self._instruction + prompt}]
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": False}
        return str(tokenizer.apply_chat_template(messages, **how))


class FluxKontext(Flux):
    """FLUX.1 Kontext, run from text alone: reference pictures would add tokens behind the image's."""

    pipeline_class = "FluxKontextPipeline"
    limits = "reference pictures are not given"


class Chroma(Flux):
    """Chroma, whose guidance is a second call a step."""

    name = "chroma"
    pipeline_class = "ChromaPipeline"
    defaults = ModelDefaults(steps=35, guidance=5.0, size=1024, max_sequence_length=512, capture_steps=(0,))
    text: FluxText = _OneText()
    word_attention = None

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 2 if guidance > 1 else 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {}


class OvisImage(Chroma):
    """Ovis-Image."""

    name = "ovis-image"
    pipeline_class = "OvisImagePipeline"
    defaults = ModelDefaults(steps=50, guidance=5.0, size=1024, max_sequence_length=256, capture_steps=(0,))
    text = OvisText()


FLUX_KONTEXT = FluxKontext()
CHROMA = Chroma()
OVIS_IMAGE = OvisImage()
