"""FLUX.1 schnell and dev, and small models of the same classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, Family, PipelineCall, TextStream
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.sizes import autoencoder_pixels, transformer_width
from autointerp.diffusion.families.states import unknown_form, with_last_tokens
from autointerp.diffusion.families.word_attention import JointAttention, WordAttention

ATTENTION = r"(single_)?transformer_blocks\.\d+\.attn"
"""Where blocks of FLUX.1's form attend to both streams."""


def _blocks(configs: Configs) -> list[str]:
    """List the double blocks, then the single blocks."""
    sizes = configs["transformer"]
    double = [f"transformer.transformer_blocks.{i}" for i in range(sizes["num_layers"])]
    return double + [f"transformer.single_transformer_blocks.{i}" for i in range(sizes["num_single_layers"])]


def _same_width(before: Any, after: Any) -> Any:
    """Return `before`, or None where a module inside a block changes the width."""
    changes = before is not None and hasattr(after, "shape") and before.shape[-1] != after.shape[-1]
    return None if changes else before


class FluxText(TextStream):
    """The text stream of FLUX: tokens of T5."""

    tokenizer = "tokenizer_2"

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return _blocks(configs)

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the text tokens; see `Flux.image_tokens` for the forms."""
        before: Any = inputs.get("encoder_hidden_states")
        after: Any = None
        if isinstance(output, tuple) and len(output) == 2 and before is not None:
            after, image = output
            fits = image is None or image.shape[1] == image_tokens
        elif hasattr(output, "shape") and before is None:
            # The output is one tensor: of both streams, text first, or, inside a double block, of the text alone.
            both = output.shape[1] == text_tokens + image_tokens
            fits = both or output.shape[1] == text_tokens
            before = inputs.get("hidden_states")
            after = output[:, :text_tokens]
            before = before[:, :text_tokens] if both and before is not None else before
        else:
            fits = False
        before = _same_width(before, after)
        fits = fits and hasattr(after, "shape") and after.shape[1] == text_tokens
        if not fits or (before is not None and before.shape != after.shape):
            raise unknown_form("a FLUX block")
        return before, after

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        if isinstance(output, tuple):
            return text.to(output[0].dtype), output[1]
        changed = output.clone()
        changed[:, : text.shape[1]] = text
        return changed

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the text's own MLP in double blocks, and the common one in single blocks."""
        path, width = FLUX.neurons(configs, hookpoint)
        return path.replace(".ff.", ".ff_context."), width


class Flux(Family):
    """FLUX.1 schnell and dev."""

    name = "flux"
    pipeline_class = "FluxPipeline"
    denoiser = "transformer"
    components = ("transformer", "vae")
    # These are the defaults of FLUX.1-schnell. The paper's dictionaries read step 0 of few.
    defaults = ModelDefaults(steps=4, guidance=0.0, size=512, max_sequence_length=256, capture_steps=(0,))
    timestep_scales = (1000.0,)
    text: FluxText = FluxText()
    word_attention: WordAttention | None = JointAttention(pattern=ATTENTION, parts=text.parts, first="text")

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return _blocks(configs)

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name the sites of arXiv 2505.24360, at the same relative depth in a model of any size.

        There: double block 18 (the last of 19), double block 9, single block 18 of 38.
        """
        double, single = configs["transformer"]["num_layers"], configs["transformer"]["num_single_layers"]
        aliases = {}
        if double:
            aliases["early"] = f"transformer.transformer_blocks.{(double - 1) // 2}"
            aliases["mid"] = f"transformer.transformer_blocks.{double - 1}"
        if single:
            aliases["late"] = f"transformer.single_transformer_blocks.{min(round(single * 18 / 38), single - 1)}"
        return aliases

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return transformer_width(configs)

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        """Return the side of 2x2 latents, which FLUX packs into a token."""
        return autoencoder_pixels(configs) * 2

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        """Pass distilled guidance (FLUX.1-dev) as an input; any other model needs a second call a step."""
        if configs["transformer"].get("guidance_embeds"):
            return PipelineCall({"guidance_scale": guidance}, 1)
        if guidance > 1:
            return PipelineCall({"true_cfg_scale": guidance, "negative_prompt": [""] * count}, 2)
        return PipelineCall({}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return ("tokenizer", None), ("tokenizer_2", max_sequence_length)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the image tokens of a FLUX block, or of a module inside it.

        Double blocks, and single blocks since diffusers 0.35, take and return (text, image). Until 0.34 single blocks
        took and returned one tensor, text first; their MLP still does. The call's number of text tokens says what to
        cut off. Inside a block, the tokens before are None where the width changes.
        """
        before: Any = inputs.get("hidden_states")
        after: Any = None
        fits = False
        if isinstance(output, tuple) and len(output) == 2 and inputs.get("encoder_hidden_states") is not None:
            text, after = output
            fits = text is None or text.shape[1] == text_tokens
        elif hasattr(output, "shape"):
            # The output is one tensor: of both streams, text first, or, inside a double block, of the image alone.
            both = output.shape[1] == text_tokens + image_tokens
            fits = both or (output.shape[1] == image_tokens and inputs.get("encoder_hidden_states") is None)
            after = output[:, text_tokens:] if both else output
            before = before[:, text_tokens:] if both and before is not None else before
        before = _same_width(before, after)
        fits = fits and (before is None or before.shape == after.shape)
        if not fits or not hasattr(after, "shape") or after.shape[1] != image_tokens:
            raise unknown_form("a FLUX block")
        return before, after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        return with_last_tokens(output, image)

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the MLP, four times as wide as the stream in both kinds of block."""
        inside = "act_mlp" if "single_transformer_blocks" in hookpoint else "ff.net.0"
        return f"{hookpoint}.{inside}", 4 * transformer_width(configs)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        """Tell FLUX.1-dev, which takes guidance as an input and needs more steps, from schnell."""
        if configs["transformer"].get("guidance_embeds"):
            return {"steps": 28, "guidance": 3.5, "max_sequence_length": 512, "capture_steps": (0,)}
        return {}

    @override
    def pack_latents(self, latents: Any) -> Any:
        """Pack 2x2 latents into a token: [batch, channels, rows, cols] to [batch, rows * cols / 4, 4 * channels]."""
        batch, channels, rows, cols = latents.shape
        squares = latents.reshape(batch, channels, rows // 2, 2, cols // 2, 2).permute(0, 2, 4, 1, 3, 5)
        return squares.reshape(batch, rows * cols // 4, 4 * channels)


FLUX = Flux()
