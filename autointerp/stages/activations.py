"""Activations of layers in rounds: generated, or read from a cache on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.diffusion.layers import Layer
from autointerp.stages.context import Context

if TYPE_CHECKING:
    from autointerp.dictionaries.cache import ActivationCache
    from autointerp.dictionaries.rounds import Round
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import ImageJob
    from autointerp.progress import Task


class ActivationSource:
    """The activations of several layers over the run's images, from one generation pass.

    `steps` are the denoising steps that are read. With `cache` what is generated is kept there, and what is there is
    not generated.
    """

    def __init__(self, ctx: Context, layers: Sequence[Layer], steps: Sequence[int], cache: Path | None = None) -> None:
        self.ctx, self.steps = ctx, tuple(steps)
        self.layers = list(dict.fromkeys(layers))
        self.caches: dict[Layer, ActivationCache] = {}
        if cache is not None:
            from autointerp.dictionaries.cache import ActivationCache

            for layer in self.layers:
                made_of = {**ctx.made_of(layer), "capture_steps": list(self.steps)}
                text = ".text" if layer.stream == "text" else ""
                self.caches[layer] = ActivationCache(cache / f"{layer.hookpoint}.{layer.signal}{text}", made_of)

    def missing(self, ranges: Sequence[tuple[int, int]]) -> int:
        """How many bytes the cache would still take to hold these ranges of images."""
        from autointerp.dictionaries.cache import estimate_bytes

        needed = 0
        for layer, cache in self.caches.items():
            cells = sum(self.ctx.tokens(layer, start, stop) for start, stop in ranges if not cache.has(start, stop))
            needed += estimate_bytes(cells * len(self.steps), [layer.d_in])
        return needed

    def read(self, start: int, stop: int, layers: Sequence[Layer], bar: Task | None = None) -> dict[Layer, Round]:
        """All activations of these layers over the images `start` to `stop`, told to `bar`."""
        found: dict[Layer, Round] = {}
        for layer in dict.fromkeys(layers):
            if layer in self.caches and self.caches[layer].has(start, stop):
                found[layer] = self.caches[layer].read(start, stop)
        wanted = [layer for layer in dict.fromkeys(layers) if layer not in found]
        if not wanted:
            if bar is not None:
                bar.advance(stop - start)
            return found
        jobs = self.ctx.jobs(start, stop)
        found |= generate_rounds(self.ctx, wanted, jobs, self.steps, bar)
        for layer in wanted:
            if layer in self.caches:
                self.caches[layer].write(start, stop, found[layer])
        return found


def generate_rounds(
    ctx: Context, layers: Sequence[Layer], jobs: Sequence[ImageJob], steps: Sequence[int], bar: Task | None = None
) -> dict[Layer, Round]:
    """All activations of some layers over some images, held in memory."""
    import torch

    from autointerp.dictionaries.rounds import Round
    from autointerp.diffusion.generation import generate

    acts: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in layers}
    places: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in layers}

    def keep(captured: Captured) -> None:
        layer = captured.layer
        rows, cols = captured.grid
        grids = (
            torch.tensor([job.index for job in captured.jobs]),
            torch.tensor([captured.step]),
            torch.arange(rows),
            torch.arange(cols),
        )
        acts[layer].append(captured.acts.reshape(-1, layer.d_in).to("cpu", copy=True))
        places[layer].append(torch.cartesian_prod(*grids))

    for batch, _ in generate(
        ctx.model,
        jobs,
        ctx.generation,
        layers=layers,
        capture_steps=steps,
        consumer=keep,
        batch_size=ctx.settings.batch_size,
        decode=False,
    ):
        if bar is not None:
            bar.advance(len(batch))
    return {layer: Round(torch.cat(acts[layer]), torch.cat(places[layer])) for layer in layers}
