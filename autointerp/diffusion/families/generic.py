"""Any other pipeline: what diffusers' configurations have in common, for hookpoints that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, Family, PipelineCall
from autointerp.diffusion.families.defaults import ModelDefaults
from autointerp.diffusion.families.sizes import autoencoder_pixels, native_size
from autointerp.diffusion.families.states import as_tokens, same_shape, states_like, with_first_states
from autointerp.diffusion.families.unet_sites import UNetSite, unet_sites
from autointerp.errors import AutointerpError, UsageError

_STACKS = {"transformer_blocks": "num_layers", "single_transformer_blocks": "num_single_layers", "blocks": "num_blocks"}
"""Stacks of blocks, and the key of the configuration that counts each."""
_WIDTHS = ("hidden_size", "inner_dim", "dim")
_NOT_KNOWN = "its entry would have to be added, see docs/howto.md"


class _Place(NamedTuple):
    """The place of the image tokens in an output.

    Attributes:
        part: Number of the tuple's part; None where the output is a tensor.
        joint: Whether that part holds the text tokens first.
    """

    part: int | None
    joint: bool


class GenericFamily(Family):
    """A pipeline class without an entry: it has no aliases, and every module of its denoiser may be a hookpoint.

    Widths and grids are read from the configuration as most of diffusers' models write it. They are checked against the
    first activations, as in every family.

    Args:
        pipeline_class: As `model_index.json` names it.
        denoiser: The component that denoises, `transformer` or `unet`.
    """

    name = "generic"
    defaults = ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=256, capture_steps=(0,))
    timestep_scales = (1.0, 1000.0)
    doubles = True
    open = True

    def __init__(self, pipeline_class: str, denoiser: str) -> None:
        self.pipeline_class = pipeline_class
        self.denoiser = denoiser
        self.components = (denoiser, "vae")

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        counts = {stack: configs[self.denoiser].get(key) or 0 for stack, key in _STACKS.items()}
        blocks = [f"{self.denoiser}.{stack}.{i}" for stack, count in counts.items() for i in range(count)]
        return list(self._sites(configs)) or blocks

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        return {}

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        sizes = configs[self.denoiser]
        if sites := self._sites(configs):
            return _site_of(sites, hookpoint).width
        for key in _WIDTHS:
            if type(sizes.get(key)) is int:
                return int(sizes[key])
        try:
            return int(sizes["num_attention_heads"] * sizes["attention_head_dim"])
        except (KeyError, TypeError):
            raise AutointerpError(
                f"the width of {hookpoint} is not known to {self.pipeline_class}", _NOT_KNOWN
            ) from None

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        if "block_out_channels" in configs["vae"]:
            latent = autoencoder_pixels(configs)
        else:
            latent = int(configs["vae"].get("scale_factor_spatial") or 8)
        if sites := self._sites(configs):
            return latent * (2 ** _site_of(sites, hookpoint).level if hookpoint else 1)
        patch = configs[self.denoiser].get("patch_size", 2)
        side = int(patch if isinstance(patch, int) else patch[-1])
        # Models like FLUX pack 2x2 latents before the transformer, and call that a patch of 1.
        return latent * (2 if side == 1 else side)

    @override
    def call(self, configs: Configs, guidance: float, count: int) -> PipelineCall:
        return PipelineCall({"guidance_scale": guidance}, 1)

    @override
    def readers(self, max_sequence_length: int) -> tuple[tuple[str, int | None], ...]:
        """List every tokenizer that a pipeline may have; each reads no more than its own limit either."""
        return tuple((f"tokenizer{number}", max_sequence_length) for number in ("", "_2", "_3"))

    @override
    def image_tokens(
        self, inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
    ) -> tuple[Any | None, Any]:
        """Find the image tokens of any module by their number alone.

        A tensor of both streams has the text first, as everywhere in diffusers.

        Raises:
            AutointerpError: No part of the output has that number of tokens, or several have.
        """
        place = _place_of(output, text_tokens, image_tokens)
        after = as_tokens(output if place.part is None else output[place.part])
        after = after[:, text_tokens:] if place.joint else after
        before = as_tokens(inputs.get("hidden_states", inputs.get("x")))
        if before is not None and place.joint and before.shape[1] == text_tokens + image_tokens:
            before = before[:, text_tokens:]
        return same_shape(before, after), after

    @override
    def put_image_tokens(self, inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
        parts = output if isinstance(output, tuple) else (output,)
        counts = [None if (states := as_tokens(part)) is None else states.shape[1] for part in parts]
        if image.shape[1] in counts:
            i = counts.index(image.shape[1])
            new = states_like(image, parts[i])
        else:
            i = next(i for i, count in enumerate(counts) if count is not None and count > image.shape[1])
            new = parts[i].clone()
            new[:, parts[i].shape[1] - image.shape[1] :] = image
        if not isinstance(output, tuple):
            return new
        if i == 0 and counts[0] == image.shape[1]:
            return with_first_states(output, image)
        return (*output[:i], new, *output[i + 1 :])

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise UsageError(f"the MLP of {hookpoint} is not known to {self.pipeline_class}", "fit another kind")

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        try:
            return {"size": native_size(configs, self.denoiser, 1024)}
        except (KeyError, TypeError):
            return {}

    def _sites(self, configs: Configs) -> dict[str, UNetSite]:
        """Return the sites of a U-Net; none of a transformer, or where the configuration is another one."""
        try:
            return unet_sites(configs[self.denoiser], self.denoiser) if self.denoiser == "unet" else {}
        except (KeyError, TypeError, IndexError):
            return {}


def _site_of(sites: Mapping[str, UNetSite], hookpoint: str | None) -> UNetSite:
    """Return the site of a hookpoint, or of the nearest module around it that is one."""
    path = hookpoint or ""
    while path:
        if path in sites:
            return sites[path]
        path = path.rpartition(".")[0]
    raise UsageError(f"the width of {hookpoint} is not known", f"name a module inside one of: {', '.join(sites)}")


def _place_of(output: Any, text_tokens: int, image_tokens: int) -> _Place:
    """Find the part of an output that holds the image tokens.

    Raises:
        AutointerpError: No part does, or several could.
    """
    parts = output if isinstance(output, tuple) else (output,)
    fitting = []
    for i, part in enumerate(parts):
        states = as_tokens(part)
        if states is not None and states.shape[1] in (image_tokens, text_tokens + image_tokens):
            fitting.append(_Place(i if isinstance(output, tuple) else None, states.shape[1] != image_tokens))
    if not fitting:
        raise AutointerpError(
            f"the hookpoint fires no image tokens: it returned {[tuple(getattr(p, 'shape', ())) for p in parts]}, and "
            f"{image_tokens} image tokens were looked for",
            "name another one, such as a whole block",
        )
    if len(fitting) > 1:
        raise AutointerpError(
            "the hookpoint returned several tensors that could be the image tokens", "name a module that returns one"
        )
    return fitting[0]
