"""Arguments of a module's call by name."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


@functools.cache
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of a method's parameters. Cached: the lookup costs more than running a small module."""
    return tuple(inspect.signature(forward).parameters)[1:]


def named(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a module's call by name, whether they were passed by position or by keyword."""
    # Read the class's signature: the `forward` of an instance may be wrapped during a pass.
    return {**dict(zip(_parameters(type(module).forward), args, strict=False)), **kwargs}
