"""Z-Image and Z-Image-Turbo, whose denoiser takes lists of latents and captions, and whose time runs backwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import CallSizes, Configs, Family, PipelineCall, TextStream, no_neurons
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.sizes import autoencoder_pixels
from autointerp.diffusion.families.states import same_shape, unknown_form
from autointerp.diffusion.families.transformer import at_shares

_PATCH = 2
_MULTIPLE = 32
"""Both the image's and the caption's tokens are padded to a multiple of this."""


def _padded(tokens: int) -> int:
    return -(-tokens // _MULTIPLE) * _MULTIPLE


def _stack(configs: Configs, name: str, key: str) -> list[str]:
    return [f"transformer.{name}.{i}" for i in range(configs["transformer"][key])]


class ZImageText(TextStream):
    """The text stream of Z-Image: a prompt in Qwen3's template. A call has as many tokens as its longest caption."""

    padded = False

    @override
    def render(self, tokenizer: Any, prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        how = {"tokenize": False, "add_generation_prompt": True, "enable_thinking": True}
        return str(tokenizer.apply_chat_template(messages, **how))

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the blocks of captions alone, then the common ones."""
        return _stack(configs, "context_refiner", "n_refiner_layers") + _stack(configs, "layers", "n_layers")

    @override
    def tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the text tokens: after the image's, which are padded, or alone."""
        start = _start(output, text_tokens, image_tokens)
        after = output[:, start : start + text_tokens]
        before = inputs.get("x")
        before = None if before is None or before.shape[1] != output.shape[1] else before[:, start:][:, :text_tokens]
        return same_shape(before, after), after

    @override
    def put(self, inputs: Mapping[str, Any], output: Any, text: Any) -> Any:
        changed = output.clone()
        start = 0 if output.shape[1] == text.shape[1] else output.shape[1] - text.shape[1]
        changed[:, start:] = text
        return changed


def _start(output: Any, text_tokens: int, image_tokens: int) -> int:
    """Return the place of the first text token in an output."""
    if not hasattr(output, "shape") or output.ndim != 3:
        raise unknown_form("a Z-Image block")
    if output.shape[1] == text_tokens:
        return 0
    if output.shape[1] != _padded(image_tokens) + text_tokens:
        raise unknown_form("a Z-Image block")
    return _padded(image_tokens)


class ZImage(Family):
    """Z-Image and Z-Image-Turbo."""

    name = "z-image"
    pipeline_class = "ZImagePipeline"
    denoiser = "transformer"
    components = ("transformer", "vae")
    defaults = ModelDefaults(steps=50, guidance=5.0, size=1024, max_sequence_length=512, capture_steps=(0,))
    doubles = True
    conditional_first = True
    few = 8
    has_neurons = False
    text = ZImageText()

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        """List the blocks of the image alone, then the common ones."""
        return _stack(configs, "noise_refiner", "n_refiner_layers") + _stack(configs, "layers", "n_layers")

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares(_stack(configs, "layers", "n_layers"))

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return int(configs["transformer"]["dim"])

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        return autoencoder_pixels(configs) * _PATCH

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        return (("tokenizer", max_sequence_length),)

    @override
    def latents(self, inputs: Mapping[str, Any]) -> Any:
        """Return latents [rows, channels, rows, cols] of the list that has one of a frame [channels, 1, rows, cols]."""
        import torch

        return torch.stack(list(inputs["x"])).squeeze(2)

    @override
    def with_latents(self, inputs: Mapping[str, Any], latents: Any) -> dict[str, Any]:
        return {**inputs, "x": list(latents.unsqueeze(2).unbind(0))}

    @override
    def timestep(self, inputs: Mapping[str, Any]) -> Any:
        return inputs["t"]

    @override
    def timesteps(self, given: float) -> tuple[float, ...]:
        """Return the scheduler's timestep: the denoiser is given what is left of it, as a share of 1000."""
        return (1000 * (1 - given),)

    @override
    def prediction(self, output: Any, image_tokens: int = 0) -> Any:
        """Stack the predictions, with the sign that the pipeline gives them."""
        import torch

        return -torch.stack(list(output[0])).squeeze(2)

    @override
    def answer(self, prediction: Any) -> Any:
        return (list((-prediction).unsqueeze(2).unbind(0)),)

    @override
    def sizes(self, inputs: Mapping[str, Any]) -> CallSizes:
        _, _, rows, cols = inputs["x"][0].shape
        longest = max(len(caption) for caption in inputs["cap_feats"])
        return CallSizes(len(inputs["x"]), _padded(longest), rows * cols // _PATCH**2)

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the image tokens, which stand first: those of the image alone, or of both streams."""
        padded = _padded(image_tokens)
        # The hidden units of an MLP are the input of its last layer, which is called with the one argument `input`.
        if not hasattr(output, "shape") or output.shape[1] not in (padded, padded + text_tokens):
            raise unknown_form("a Z-Image block")
        before = inputs.get("x")
        before = None if before is None or before.ndim != 3 else before[:, :image_tokens]
        return same_shape(before, output[:, :image_tokens]), output[:, :image_tokens]

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        changed = output.clone()
        changed[:, : image.shape[1]] = image
        return changed

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise no_neurons(hookpoint)


Z_IMAGE = ZImage()
