"""Pipelines around a U-Net: Stable Diffusion 1.x and 2.x, SDXL and SDXL-Turbo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from autointerp.diffusion.families.base import (
    Configs,
    Family,
    ModelDefaults,
    autoencoder_pixels,
    doubling_call,
    native_size,
    states_like,
    tokens,
    unknown_form,
)
from autointerp.errors import UsageError


class Site(NamedTuple):
    """A module of a U-Net: channels of its output, how often the latents were halved there, and its MLP's path."""

    width: int
    level: int
    mlp: str | None = None


def unet_sites(sizes: Mapping[str, Any], unet: str = "unet") -> dict[str, Site]:
    """Every hookpoint of a UNet2DConditionModel with this `config.json`, in the order in which they run.

    Blocks, their ResNets, their cross-attention modules, and the transformer blocks inside these. Only blocks
    whose type has cross-attention have `attentions`.
    """
    widths = list(sizes["block_out_channels"])
    levels = len(widths)
    layers, depth = (_each(sizes.get(key, default), levels) for key, default in _PER_BLOCK)
    up_depth = sizes.get("reverse_transformer_layers_per_block") or depth[::-1]
    found: dict[str, Site] = {}

    def add(block: str, count: int, resnets: int, width: int, level: int, deep: Any) -> None:
        for i in range(resnets):
            found[f"{unet}.{block}.resnets.{i}"] = Site(width, level)
        for i in range(count):
            name = f"{unet}.{block}.attentions.{i}"
            blocks = [f"{name}.transformer_blocks.{j}" for j in range(deep if isinstance(deep, int) else deep[i])]
            found.update({inner: Site(width, level, f"{inner}.ff.net.0") for inner in blocks})
            found[name] = Site(width, level, f"{blocks[-1]}.ff.net.0")

    for i, kind in enumerate(sizes["down_block_types"]):
        add(f"down_blocks.{i}", layers[i] * ("CrossAttn" in kind), layers[i], widths[i], i, depth[i])
        found[f"{unet}.down_blocks.{i}"] = Site(widths[i], min(i + 1, levels - 1))
    if (mid := sizes.get("mid_block_type", "UNetMidBlock2DCrossAttn")) is not None:
        add("mid_block", int("CrossAttn" in mid), 2, widths[-1], levels - 1, depth[-1])
        found[f"{unet}.mid_block"] = Site(widths[-1], levels - 1)
    for i, kind in enumerate(sizes["up_block_types"]):
        width, level, count = widths[-1 - i], levels - 1 - i, layers[-1 - i] + 1
        add(f"up_blocks.{i}", count * ("CrossAttn" in kind), count, width, level, up_depth[i])
        found[f"{unet}.up_blocks.{i}"] = Site(width, max(level - 1, 0))
    return found


_PER_BLOCK = (("layers_per_block", 2), ("transformer_layers_per_block", 1))


def _each(value: Any, levels: int) -> list[Any]:
    return [value] * levels if isinstance(value, int) else list(value)


def _attentions(configs: Configs, part: str) -> list[str]:
    """Cross-attention modules of the down, mid or up blocks, in order."""
    names = [name for name in unet_sites(configs["unet"]) if name.split(".")[-2] == "attentions"]
    return [name for name in names if name.startswith(f"unet.{part}")]


def _sides(configs: Configs) -> dict[str, str]:
    """The last cross-attention before the deepest level's end, and the one in the middle."""
    down, mid = _attentions(configs, "down"), _attentions(configs, "mid")
    return {alias: names[-1] for alias, names in (("early", down), ("mid", mid)) if names}


def _first_up(configs: Configs) -> list[str]:
    """The cross-attention modules of the first up block that has any: `up_blocks.1` in Stable Diffusion 1.x."""
    up = _attentions(configs, "up")
    return [name for name in up if name.rsplit(".", 1)[0] == up[0].rsplit(".", 1)[0]]


def _sd_aliases(configs: Configs) -> dict[str, str]:
    """Down, mid and up cross-attention, as in arXiv 2504.15473."""
    up = _first_up(configs)
    return {**_sides(configs), **({"late": up[-1]} if up else {})}


def _sdxl_aliases(configs: Configs) -> dict[str, str]:
    """The four sites of arXiv 2410.22366."""
    return {**_sides(configs), **dict(zip(("late", "later"), _first_up(configs), strict=False))}


def _site(configs: Configs, hookpoint: str) -> Site:
    return unet_sites(configs["unet"])[hookpoint]


def _cell_pixels(configs: Configs, hookpoint: str | None) -> int:
    return autoencoder_pixels(configs) * (2 ** _site(configs, hookpoint).level if hookpoint else 1)


def unet_image_tokens(inputs: Mapping[str, Any], output: Any, text_tokens: int, image_tokens: int) -> tuple[Any, Any]:
    """Image tokens before and after a module of a U-Net, each [batch, image_tokens, width].

    Cross-attention modules return a 1-tuple, mid blocks and ResNets a tensor, down blocks (tensor, skips), all
    [batch, width, rows, cols]; transformer blocks return [batch, tokens, width]. `before` is None where the input
    has another width or grid.

    Raises:
        AutointerpError: No form fits the shapes.
    """
    after = tokens(output[0] if isinstance(output, tuple) and output else output)
    if after is None or after.shape[1] != image_tokens:
        raise unknown_form("a module of the U-Net")
    before = tokens(inputs.get("hidden_states", inputs.get("input_tensor")))
    return (before if before is not None and before.shape == after.shape else None), after


def unet_put_image_tokens(inputs: Mapping[str, Any], output: Any, image: Any) -> Any:
    """The inverse of `unet_image_tokens`. A skip that is the block's own output changes with it."""
    if not isinstance(output, tuple):
        return states_like(image, output)
    old, new = output[0], states_like(image, output[0])

    def changed(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(changed(inner) for inner in part)
        return new if part is old else part

    return tuple(changed(part) for part in output)


def _neurons(configs: Configs, hookpoint: str) -> tuple[str, int]:
    """The MLP of the last transformer block, four times as wide as the stream."""
    site = _site(configs, hookpoint)
    if site.mlp is None:
        raise UsageError(f"{hookpoint} has no MLP", "name one of its attentions")
    return site.mlp, 4 * site.width


def _sd_defaults(configs: Configs) -> dict[str, Any]:
    return {"size": native_size(configs, "unet", 512)}


def _sdxl_defaults(configs: Configs) -> dict[str, Any]:
    """Turbo is SDXL made for one step without guidance; its scheduler's spacing tells the two apart."""
    size = {"size": native_size(configs, "unet", 1024)}
    turbo = configs["scheduler"].get("timestep_spacing") == "trailing"
    return {**size, "steps": 1, "guidance": 0.0, "capture_steps": (0,)} if turbo else size


def _unet_family(
    name: str, pipeline_class: str, aliases: Any, read_defaults: Any, defaults: ModelDefaults, load: dict[str, Any]
) -> Family:
    return Family(
        name=name,
        pipeline_class=pipeline_class,
        denoiser="unet",
        components=("unet", "vae", "scheduler"),
        defaults=defaults,
        hookpoints=lambda configs: list(unet_sites(configs["unet"])),
        aliases=aliases,
        width=lambda configs, hookpoint: _site(configs, hookpoint).width,
        cell_pixels=_cell_pixels,
        call=doubling_call,
        image_tokens=unet_image_tokens,
        put_image_tokens=unet_put_image_tokens,
        neurons=_neurons,
        read_defaults=read_defaults,
        doubles=True,
        dtype="float16",
        load_arguments=load,
    )


# Steps and guidance are those that the models' own pages use; early, middle and late in time, as in arXiv 2504.15473.
SD = _unet_family(
    "sd",
    "StableDiffusionPipeline",
    _sd_aliases,
    _sd_defaults,
    ModelDefaults(
        steps=50, guidance=7.5, size=512, max_sequence_length=77, capture_steps=(0, 25, 49), signal="update", k=32
    ),
    # A picture that a checker blackened is not what the activations were of.
    {"safety_checker": None, "requires_safety_checker": False},
)
SDXL = _unet_family(
    "sdxl",
    "StableDiffusionXLPipeline",
    _sdxl_aliases,
    _sdxl_defaults,
    ModelDefaults(
        # 5,120 latents of 1,280 channels, ten of them active, as in arXiv 2410.22366.
        steps=30,
        guidance=5.0,
        size=1024,
        max_sequence_length=77,
        capture_steps=(0,),
        signal="update",
        expansion=4,
        k=10,
    ),
    {"add_watermarker": False},
)
