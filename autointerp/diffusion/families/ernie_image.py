"""ERNIE-Image: one tensor of both streams, [tokens, images, width], the image first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import CallSizes, Configs, PipelineCall, TextStream, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.flux2 import folded_latents
from autointerp.diffusion.families.sizes import autoencoder_pixels
from autointerp.diffusion.families.states import same_shape, unknown_form
from autointerp.diffusion.families.transformer import TransformerFamily, at_shares

_EPSILON = 1e-5
"""That of the training, which the pipeline has in its code; the autoencoder's published configuration has another."""


def _split(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any, int]:
    """Return the tokens before and after a block, images first: [batch, tokens, width]; and how many are the image's.

    The number of image tokens may be 0 for one that is not known.
    """
    image_tokens = image_tokens or (output.shape[0] - text_tokens if hasattr(output, "shape") else 0)
    if not hasattr(output, "shape") or output.ndim != 3 or output.shape[0] != image_tokens + text_tokens:
        raise unknown_form("an ERNIE-Image block")
    before = same_shape(inputs.get("x"), output)
    return None if before is None else before.transpose(0, 1), output.transpose(0, 1), image_tokens


class ErnieImageText(TextStream):
    """The text stream of ERNIE-Image. A call has as many tokens as its longest text."""

    padded = False

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return ERNIE_IMAGE.hookpoints(configs)

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        before, after, start = _split(inputs, output, text_tokens, image_tokens)
        return None if before is None else before[:, start:], after[:, start:]

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        changed = output.clone()
        changed[output.shape[0] - text.shape[1] :] = text.transpose(0, 1)
        return changed


class ErnieImage(TransformerFamily):
    """ERNIE-Image and ERNIE-Image-Turbo, run without the model that rewrites prompts, which is not loaded."""

    name = "ernie-image"
    pipeline_class = "ErnieImagePipeline"
    defaults = ModelDefaults(steps=50, guidance=4.0, size=1024, max_sequence_length=512, capture_steps=(0,))
    load_arguments: Mapping[str, Any] = {"pe": None, "pe_tokenizer": None}
    few = 8
    limits = "prompts are not rewritten"
    has_neurons = False
    text = ErnieImageText()

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return [f"transformer.layers.{i}" for i in range(configs["transformer"]["num_layers"])]

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares(self.hookpoints(configs))

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return int(configs["transformer"]["hidden_size"])

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        """Return the side of 2x2 latents, which are folded into channels before the denoiser."""
        return autoencoder_pixels(configs) * 2 * int(configs["transformer"].get("patch_size", 1))

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance, "use_pe": False}, 1)

    @override
    def sizes(self, inputs: Mapping[str, Any]) -> CallSizes:
        """Read the sizes of a call that says its text by another name, and has latents that are no tokens yet."""
        return super().sizes({**inputs, "encoder_hidden_states": inputs["text_bth"]})

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        before, after, end = _split(inputs, output, text_tokens, image_tokens)
        return None if before is None else before[:, :end], after[:, :end]

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        changed = output.clone()
        changed[: image.shape[1]] = image.transpose(0, 1)
        return changed

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {}

    @override
    def scale_latents(self, vae: Any, latents: Any) -> Any:
        return folded_latents(vae, latents, _EPSILON)


ERNIE_IMAGE = ErnieImage()
