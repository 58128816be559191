"""Families whose transformer is one stack of blocks on latent patches, and whose guidance doubles the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from autointerp.diffusion.families.base import Configs, Family
from autointerp.diffusion.families.sizes import autoencoder_pixels, native_size, transformer_width

_BLOCKS = "transformer.transformer_blocks"


def at_shares(blocks: Sequence[str]) -> dict[str, str]:
    """Name the blocks at a quarter, a half and three quarters of a stack `early`, `mid` and `late`."""
    shares = {"early": 1 / 4, "mid": 1 / 2, "late": 3 / 4}
    return {alias: blocks[min(int(len(blocks) * share), len(blocks) - 1)] for alias, share in shares.items()}


class TransformerFamily(Family):
    """A family of one stack of transformer blocks; a subclass says how it is called and finds its tokens."""

    denoiser = "transformer"
    components = ("transformer", "vae")
    doubles = True

    @override
    def hookpoints(self, configs: Configs) -> list[str]:
        return [f"{_BLOCKS}.{i}" for i in range(configs["transformer"]["num_layers"])]

    @override
    def aliases(self, configs: Configs) -> dict[str, str]:
        """Name blocks at a quarter, a half and three quarters of the depth: no paper says which are best."""
        return at_shares([f"{_BLOCKS}.{i}" for i in range(configs["transformer"]["num_layers"])])

    @override
    def width(self, configs: Configs, hookpoint: str) -> int:
        return transformer_width(configs)

    @override
    def cell_pixels(self, configs: Configs, hookpoint: str | None) -> int:
        return autoencoder_pixels(configs) * int(configs["transformer"].get("patch_size", 2))

    @override
    def neurons(self, configs: Configs, hookpoint: str) -> tuple[str, int]:
        """Return the MLP of the image's stream, beside a block's attention and four times as wide."""
        return f"{hookpoint.removesuffix('.attn')}.ff.net.0", 4 * transformer_width(configs)

    @override
    def read_defaults(self, configs: Configs) -> Mapping[str, Any]:
        return {"size": native_size(configs, "transformer", 1024)}
