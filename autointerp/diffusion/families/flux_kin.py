"""Classes made of FLUX.1's blocks: Chroma, FLUX.1 Kontext without a reference picture, LongCat-Image, Ovis-Image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux import ATTENTION, Flux, FluxText
from autointerp.diffusion.families.word_attention import JointAttention, WordAttention


class _OneText(FluxText):
    """A text stream whose only tokenizer is the pipeline's only one."""

    tokenizer = "tokenizer"


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


class LongCatText(_OneText):
    """The text stream of LongCat-Image: 512 tokens, between those of a template, which are left out again."""

    marked = False

    @override
    def parts(self, max_sequence_length: int) -> tuple[tuple[str, int], ...]:
        return super().parts(512)

    @override
    def pieces(self, text: str) -> list[str]:
        """Split a text as the pipeline does: what is quoted is read letter by letter."""
        from diffusers.pipelines.longcat_image.pipeline_longcat_image import split_quotation

        found = split_quotation(text)
        return [piece for part, is_quoted in found for piece in (part if is_quoted else [part])]


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
    word_attention: WordAttention | None = JointAttention(pattern=ATTENTION, parts=text.parts, first="text")

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
    has_loras = False
    defaults = ModelDefaults(steps=50, guidance=5.0, size=1024, max_sequence_length=256, capture_steps=(0,))
    text = OvisText()
    word_attention = None


class LongCatImage(Chroma):
    """LongCat-Image, run without the rewriting of prompts, for which alone it has a processor."""

    name = "longcat-image"
    pipeline_class = "LongCatImagePipeline"
    has_loras = False
    limits = "prompts are not rewritten"
    defaults = ModelDefaults(steps=50, guidance=4.5, size=1024, max_sequence_length=512, capture_steps=(0,))
    load_arguments: Mapping[str, Any] = {"text_processor": None}
    text = LongCatText()
    word_attention = None

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Give each image its negative prompt: the pipeline's own is one for all, which fits no larger batch."""
        arguments: dict[str, Any] = {"guidance_scale": guidance, "enable_prompt_rewrite": False}
        if guidance <= 1:
            return PipelineCall(arguments, 1)
        return PipelineCall({**arguments, "negative_prompt": [""] * count}, 2)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return self.text.parts(max_sequence_length)


FLUX_KONTEXT = FluxKontext()
CHROMA = Chroma()
OVIS_IMAGE = OvisImage()
LONGCAT_IMAGE = LongCatImage()
