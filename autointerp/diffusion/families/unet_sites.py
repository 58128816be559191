"""Hookpoints of a U-Net, read from its configuration file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_PER_BLOCK = (("layers_per_block", 2), ("transformer_layers_per_block", 1))
"""Keys whose value may be one number or a list, and their defaults."""


class UNetSite(NamedTuple):
    """A module of a U-Net.

    Attributes:
        width: Channels of its output.
        level: Number of times that the latents were halved there.
        mlp: Path of its MLP's hidden units; None where it has no MLP.
    """

    width: int
    level: int
    mlp: str | None = None


def unet_sites(sizes: Mapping[str, Any], unet: str = "unet") -> dict[str, UNetSite]:
    """List every hookpoint of a UNet2DConditionModel with this `config.json`, in the order in which they run.

    Hookpoints are blocks, their ResNets, their cross-attention modules, and the transformer blocks inside these. Only
    blocks whose type has cross-attention have `attentions`.
    """
    widths = list(sizes["block_out_channels"])
    levels = len(widths)
    layers, depth = (_each(sizes.get(key, default), levels) for key, default in _PER_BLOCK)
    up_depth = sizes.get("reverse_transformer_layers_per_block") or depth[::-1]
    found: dict[str, UNetSite] = {}

    def add(block: str, count: int, resnets: int, width: int, level: int, deep: Any) -> None:
        for i in range(resnets):
            found[f"{unet}.{block}.resnets.{i}"] = UNetSite(width, level)
        for i in range(count):
            name = f"{unet}.{block}.attentions.{i}"
            blocks = [f"{name}.transformer_blocks.{j}" for j in range(deep if isinstance(deep, int) else deep[i])]
            found.update({inner: UNetSite(width, level, f"{inner}.ff.net.0") for inner in blocks})
            found[name] = UNetSite(width, level, f"{blocks[-1]}.ff.net.0")

    for i, kind in enumerate(sizes["down_block_types"]):
        add(f"down_blocks.{i}", layers[i] * ("CrossAttn" in kind), layers[i], widths[i], i, depth[i])
        found[f"{unet}.down_blocks.{i}"] = UNetSite(widths[i], min(i + 1, levels - 1))
    if (mid := sizes.get("mid_block_type", "UNetMidBlock2DCrossAttn")) is not None:
        add("mid_block", int("CrossAttn" in mid), 2, widths[-1], levels - 1, depth[-1])
        found[f"{unet}.mid_block"] = UNetSite(widths[-1], levels - 1)
    for i, kind in enumerate(sizes["up_block_types"]):
        width, level, count = widths[-1 - i], levels - 1 - i, layers[-1 - i] + 1
        add(f"up_blocks.{i}", count * ("CrossAttn" in kind), count, width, level, up_depth[i])
        found[f"{unet}.up_blocks.{i}"] = UNetSite(width, max(level - 1, 0))
    return found


def _each(value: Any, levels: int) -> list[Any]:
    """Return one value a level, of one value for all levels or of a list."""
    return [value] * levels if isinstance(value, int) else list(value)
