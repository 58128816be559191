"""Activations of layers in rounds: generated, or read from a cache on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.diffusion.layers import Layer
from autointerp.project.context import Context

if TYPE_CHECKING:
    from autointerp.dictionaries.cache import ActivationCache
    from autointerp.dictionaries.rounds import Round
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.progress import Task


class ActivationSource:
    """The activations of several layers over the run's images, from one generation pass.

    Args:
        ctx: The command's view of the workspace.
        layers: The layers.
        steps: The denoising steps that are read.
        cache: A folder in which generated activations are kept. Those that it holds already are not generated again.
    """

    def __init__(self, ctx: Context, layers: Sequence[Layer], steps: Sequence[int], cache: Path | None = None) -> None:
        self.ctx, self.steps = ctx, tuple(steps)
        self.layers = list(dict.fromkeys(layers))
        self._pictures_are_checked = False
        self.caches: dict[Layer, ActivationCache] = {}
        if cache is not None:
            from autointerp.dictionaries.cache import ActivationCache

            for layer in self.layers:
                made_of = {**ctx.made_of(layer), "capture_steps": list(self.steps)}
                text = ".text" if layer.stream == "text" else ""
                self.caches[layer] = ActivationCache(cache / f"{layer.hookpoint}.{layer.signal}{text}", made_of)

    def missing(self, ranges: Sequence[tuple[int, int]]) -> int:
        """Return how many more bytes the cache needs to hold these ranges of images."""
        from autointerp.dictionaries.cache import estimate_bytes

        needed = 0
        for layer, cache in self.caches.items():
            cells = sum(self.ctx.tokens(layer, start, stop) for start, stop in ranges if not cache.has(start, stop))
            needed += estimate_bytes(cells * len(self.steps), [layer.width])
        return needed

    def read(self, start: int, stop: int, layers: Sequence[Layer], bar: Task | None = None) -> dict[Layer, Round]:
        """Return all activations of these layers over the images `start` to `stop`; the bar advances by each image."""
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
        self._check_pictures(jobs[0])
        found |= generate_rounds(self.ctx, wanted, jobs, self.steps, bar)
        for layer in wanted:
            if layer in self.caches:
                self.caches[layer].write(start, stop, found[layer])
        return found

    def _check_pictures(self, job: ImageJob) -> None:
        """Make one picture of a model that people name, before the first round.

        A fit makes no pictures. If the autoencoder gives some that are not finite, the harvest after it would find out.

        Raises:
            NotFiniteError: It does.
        """
        from autointerp.diffusion.generation import generate

        if not self._pictures_are_checked and self.ctx.world.is_open and job.picture is None:
            list(generate(self.ctx.model, [job], self.ctx.generation))
        self._pictures_are_checked = True


def generate_rounds(
    ctx: Context, layers: Sequence[Layer], jobs: Sequence[ImageJob], steps: Sequence[int], bar: Task | None = None
) -> dict[Layer, Round]:
    """Generate images, and return all activations of some layers, held in memory."""
    import torch

    from autointerp.dictionaries.rounds import Round
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    acts: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in layers}
    places: dict[Layer, list[torch.Tensor]] = {layer: [] for layer in layers}

    def keep(captured: LayerActivations) -> None:
        layer = captured.layer
        rows, cols = captured.grid
        grids = (
            torch.tensor([job.index for job in captured.jobs]),
            torch.tensor([captured.step]),
            torch.arange(rows),
            torch.arange(cols),
        )
        acts[layer].append(captured.flat().to("cpu", copy=True))
        place = torch.cartesian_prod(*grids)
        places[layer].append(place if captured.mask is None else place[captured.mask.flatten().cpu()])

    for batch, _ in generate(
        ctx.model,
        jobs,
        ctx.generation,
        capture=Capture(layers, steps, keep),
        batch_size=ctx.settings.batch_size,
        decode=False,
    ):
        if bar is not None:
            bar.advance(len(batch))
    return {layer: Round(torch.cat(acts[layer]), torch.cat(places[layer])) for layer in layers}
