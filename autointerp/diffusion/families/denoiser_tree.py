"""Blocks of a denoiser, read off its own class: built on the meta device, where a model of any size takes no memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    import torch

_READS_STREAM = ("to_q", "to_qkv", "qkv", "qkv_proj", "img_qkv_proj", "to_qkv_mlp_proj", "q_proj")
"""Names of the first linear layer of an attention, which reads the stream that a block passes on."""


class Block(NamedTuple):
    """A block of a denoiser.

    Attributes:
        path: Its dotted path in the denoiser.
        width: Channels that its attention reads; None where no layer of a known name does.
    """

    path: str
    width: int | None


def blocks_of(config: Mapping[str, Any]) -> tuple[Block, ...]:
    """List the blocks of a denoiser with this `config.json`, in the order of its definition.

    Blocks are the modules with an attention that stand in a list, outside other such modules.

    Raises:
        AutointerpError: diffusers has no such class, or cannot build it from this configuration.
    """
    return _blocks(json.dumps(dict(config), sort_keys=True, default=str))


@functools.cache
def _blocks(config: str) -> tuple[Block, ...]:
    import diffusers
    import torch

    settings = json.loads(config)
    name = str(settings.get("_class_name"))
    kind = getattr(diffusers, name, None)
    if kind is None or not hasattr(kind, "from_config"):
        raise AutointerpError(f"diffusers {diffusers.__version__} has no model class {name!r}", "install a newer one")
    try:
        with torch.device("meta"):
            denoiser = kind.from_config(settings)
    except Exception as error:  # noqa: BLE001 - each class raises in its own way
        raise AutointerpError(
            f"a {name} cannot be built from its configuration: {type(error).__name__} {error}".splitlines()[0],
            "fetch the model again",
        ) from error
    found: list[Block] = []
    for path, module in denoiser.named_modules():
        if not isinstance(module, torch.nn.ModuleList) or any(path.startswith(f"{block.path}.") for block in found):
            continue
        blocks = [(f"{path}.{number}", block) for number, block in enumerate(module)]
        found += [Block(inner, _width(block)) for inner, block in blocks if _attends(block)]
    return tuple(found)


def _attends(block: torch.nn.Module) -> bool:
    return any("Attention" in type(module).__name__ or "Attn" in type(module).__name__ for module in block.modules())


def _width(block: torch.nn.Module) -> int | None:
    """Return the channels of the input of a block's first attention."""
    for path, module in block.named_modules():
        if path.rpartition(".")[2] in _READS_STREAM and hasattr(module, "in_features"):
            return int(module.in_features)
    return None
