"""Controls of a layer: the denoiser's own input, and the same layer of a denoiser that has learned nothing.

Both are read in the course of a generation by the trained model, call by call, so that all see the same pictures. The
trained model alone decides what is painted.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from autointerp.diffusion.arguments import named
from autointerp.diffusion.calls import UNSUPPORTED
from autointerp.diffusion.capture import layer_acts, of_signal
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.model import Model


class LatestCall:
    """The arguments of the denoiser's latest call, by name.

    Args:
        model: The model that generates.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self.inputs: dict[str, Any] = {}

    def raw(self, count: int, grid: tuple[int, int]) -> torch.Tensor:
        """Return the noised latents under each cell of a grid, float32 [count, rows * cols, channels].

        Args:
            count: Images of the batch; where guidance doubles it, the conditional half is taken.
            grid: (rows, cols) of the layer. Latents that are not packed into tokens are folded into these cells.

        Raises:
            AutointerpError: The latents do not fit the grid.
        """
        given = self.model.family.latents(self.inputs)
        latents = given[self.model.family.conditional_rows(len(given), count)].detach().float()
        rows, cols = grid
        if latents.ndim == 4:
            high, wide = latents.shape[2] // rows, latents.shape[3] // cols
            if (high * rows, wide * cols) != tuple(latents.shape[2:]) or high != wide:
                raise AutointerpError(
                    f"latents of {list(latents.shape[2:])} do not fit {rows} x {cols} cells", UNSUPPORTED
                )
            latents = F.pixel_unshuffle(latents, high).flatten(2).transpose(1, 2)
        if latents.shape[1] != rows * cols:
            raise AutointerpError(f"{latents.shape[1]} tokens of latents do not fit {rows} x {cols} cells", UNSUPPORTED)
        return latents


@contextmanager
def noting_calls(model: Model) -> Iterator[LatestCall]:
    """Note the denoiser's arguments in every generation that runs inside; the hook is removed afterwards."""
    latest = LatestCall(model)

    def note(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        latest.inputs = named(module, args, kwargs)

    handle = model.denoiser.register_forward_pre_hook(note, with_kwargs=True)
    try:
        yield latest
    finally:
        handle.remove()


def rerandomised(denoiser: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Copy a denoiser, and draw every weight anew from a normal distribution of the same mean and deviation.

    So nothing that was learned is left but the scale of each tensor (Heap et al., arXiv 2501.17727).
    """
    twin = copy.deepcopy(denoiser)
    draw = torch.Generator().manual_seed((seed << 20) + 19)
    with torch.no_grad():
        for _, weight in sorted(twin.named_parameters(), key=lambda item: item[0]):
            old = weight.detach().float()
            std = float(old.std()) if old.numel() > 1 else 0.0
            new = torch.randn(old.shape, generator=draw) * (std if math.isfinite(std) else 0.0) + float(old.mean())
            weight.copy_(new.to(weight.dtype))
    return twin


class _ReadError(BaseException):
    """Ends a run of the twin once its layer was read. No `except Exception` of a library catches it."""


class ShadowLayer:
    """A layer of a twin of a model's denoiser, run on the arguments of the model's own calls.

    Args:
        model: The model that generates.
        twin: The other denoiser, of the same architecture.
        layer: The layer to read.
    """

    def __init__(self, model: Model, twin: torch.nn.Module, layer: Layer) -> None:
        self.model, self.twin, self.layer = model, twin, layer
        self._module = twin.get_submodule(layer.hookpoint.partition(".")[2])

    def read(self, call: LatestCall, count: int) -> torch.Tensor:
        """Run the twin on a call, and return the layer's activations, float32 [count, tokens, d_in].

        Args:
            call: The call; of a conditional branch.
            count: Images of the batch.
        """
        found: list[torch.Tensor] = []

        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            family = self.model.family
            sizes = family.sizes(call.inputs)
            rows = family.conditional_rows(sizes.batch, count)
            before, after = layer_acts(self.model, self.layer, sizes, named(module, args, kwargs), output)
            found.append(of_signal(self.layer, before, after, rows).detach().float())
            raise _ReadError

        handle = self._module.register_forward_hook(hook, with_kwargs=True)
        try:
            with torch.inference_mode(), self.model.autocast():
                self.twin(**call.inputs)
        except _ReadError:
            return found[0]
        finally:
            handle.remove()
        raise AutointerpError(f"{self.layer.hookpoint} never ran", UNSUPPORTED)
