"""Any other pipeline: what diffusers' configurations have in common, for a hookpoint that the user names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autointerp.diffusion.families.base import (
    Configs,
    Family,
    ModelDefaults,
    autoencoder_pixels,
    doubling_call,
    native_size,
    states_like,
    tokens,
)
from autointerp.diffusion.families.unet import unet_put_image_tokens, unet_sites
from autointerp.errors import AutointerpError, UsageError

_STACKS = {
    "transformer_blocks": ("num_layers",),
    "single_transformer_blocks": ("num_single_layers",),
    "blocks": ("num_blocks",),
}
_NOT_KNOWN = "its entry would have to be added, see docs/howto.md"


def generic(pipeline_class: str, denoiser: str) -> Family:
    """An entry for a pipeline class that has none: no aliases; every module of the denoiser can be a hookpoint.

    Widths and grids are read from the configuration as most of diffusers' models write them. What is read is
    checked against the first activations, as always.

    Args:
        pipeline_class: As `model_index.json` names it.
        denoiser: Its component that denoises, `transformer` or `unet`.
    """

    def sites(configs: Configs) -> dict[str, Any]:
        try:
            return unet_sites(configs[denoiser], denoiser) if denoiser == "unet" else {}
        except (KeyError, TypeError, IndexError):
            return {}

    def hookpoints(configs: Configs) -> list[str]:
        sizes = configs[denoiser]
        stacks = {stack: next((sizes[key] for key in keys if sizes.get(key)), 0) for stack, keys in _STACKS.items()}
        blocks = [f"{denoiser}.{stack}.{i}" for stack, count in stacks.items() for i in range(count)]
        return list(sites(configs)) or blocks

    def width(configs: Configs, hookpoint: str) -> int:
        sizes = configs[denoiser]
        if found := sites(configs):
            return _site_of(found, hookpoint).width
        for key in ("hidden_size", "inner_dim", "dim"):
            if type(sizes.get(key)) is int:
                return int(sizes[key])
        try:
            return int(sizes["num_attention_heads"] * sizes["attention_head_dim"])
        except (KeyError, TypeError):
            raise AutointerpError(f"the width of {hookpoint} is not known to {pipeline_class}", _NOT_KNOWN) from None

    def cell_pixels(configs: Configs, hookpoint: str | None) -> int:
        if "block_out_channels" in configs["vae"]:
            latent = autoencoder_pixels(configs)
        else:
            latent = int(configs["vae"].get("scale_factor_spatial") or 8)
        if found := sites(configs):
            return latent * (2 ** _site_of(found, hookpoint).level if hookpoint else 1)
        patch = configs[denoiser].get("patch_size", 2)
        side = int(patch if isinstance(patch, int) else patch[-1])
        # Models like FLUX pack 2x2 latents before the transformer, and call that a patch of 1.
        return latent * (2 if side == 1 else side)

    def defaults(configs: Configs) -> dict[str, Any]:
        try:
            return {"size": native_size(configs, denoiser, 1024)}
        except (KeyError, TypeError):
            return {}

    def neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
        raise UsageError(f"the MLP of {hookpoint} is not known to {pipeline_class}", "fit another kind")

    return Family(
        name="generic",
        pipeline_class=pipeline_class,
        denoiser=denoiser,
        components=(denoiser, "vae"),
        defaults=ModelDefaults(steps=20, guidance=4.5, size=1024, max_sequence_length=256, capture_steps=(0,)),
        hookpoints=hookpoints,
        aliases=lambda configs: {},
        width=width,
        cell_pixels=cell_pixels,
        call=doubling_call,
        image_tokens=generic_image_tokens,
        put_image_tokens=generic_put_image_tokens,
        neurons=neurons,
        read_defaults=defaults,
        timestep_scales=(1.0, 1000.0),
        doubles=True,
        open=True,
    )


def _site_of(found: Mapping[str, Any], hookpoint: str | None) -> Any:
    """The site of a hookpoint, or of the nearest module around it that is one."""
    path = hookpoint or ""
    while path:
        if path in found:
            return found[path]
        path = path.rpartition(".")[0]
    raise UsageError(f"the width of {hookpoint} is not known", f"name a module inside one of: {', '.join(found)}")


def _where(output: Any, text_tokens: int, image_tokens: int) -> tuple[int | None, bool]:
    """Which part of an output holds the image tokens (None: it is a tensor), and whether after the text's.

    Raises:
        AutointerpError: None does, or several could.
    """
    parts = output if isinstance(output, tuple) else (output,)
    fitting = []
    for i, part in enumerate(parts):
        states = tokens(part)
        if states is not None and states.shape[1] in (image_tokens, text_tokens + image_tokens):
            fitting.append((i if isinstance(output, tuple) else None, states.shape[1] != image_tokens))
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


def generic_image_tokens(
    inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int
) -> tuple[Any, Any]:
    """Image tokens before and after any module, each [batch, image_tokens, width], found by their number alone.

    A joint tensor has the text first, as everywhere in diffusers.

    Raises:
        AutointerpError: No part of the output has as many tokens, or several have.
    """
    which, joint = _where(output, text_tokens, image_tokens)
    after = tokens(output if which is None else output[which])
    after = after[:, text_tokens:] if joint else after
    before = tokens(inputs.get("hidden_states", inputs.get("x")))
    if before is not None and joint and before.shape[1] == text_tokens + image_tokens:
        before = before[:, text_tokens:]
    return (before if before is not None and before.shape == after.shape else None), after


def generic_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `generic_image_tokens`."""
    parts = output if isinstance(output, tuple) else (output,)
    sizes = [None if (states := tokens(part)) is None else states.shape[1] for part in parts]
    if image.shape[1] in sizes:
        i = sizes.index(image.shape[1])
        new = states_like(image, parts[i])
    else:
        i = next(i for i, size in enumerate(sizes) if size is not None and size > image.shape[1])
        new = parts[i].clone()
        new[:, parts[i].shape[1] - image.shape[1] :] = image
    if not isinstance(output, tuple):
        return new
    if i == 0:
        return unet_put_image_tokens(inputs, output, image) if sizes[0] == image.shape[1] else (new, *output[1:])
    return (*output[:i], new, *output[i + 1 :])
