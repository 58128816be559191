"""Dictionaries on the held-out images: where features fire, and how well layers are rebuilt."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autointerp.db.models import DictionaryRow
from autointerp.diffusion.layers import Layer
from autointerp.project.context import Context
from autointerp.shapes.verdict import Collected, Firing
from autointerp.stages.evaluate.planning import has_truth

if TYPE_CHECKING:
    import torch

    from autointerp.dictionaries.protocol import Dictionary, SparseCode
    from autointerp.diffusion.capture import LayerActivations


class Observer(Protocol):
    """Looks at the held-out images while they are generated."""

    @property
    def layer(self) -> Layer:
        """The layer that is captured for it."""
        ...

    @property
    def steps(self) -> Sequence[int]:
        """The denoising steps that are captured for it."""
        ...

    def consume(self, captured: LayerActivations) -> None:
        """Take in a batch of a layer at one step, which may be another observer's."""
        ...


@dataclass(frozen=True)
class HeldOutImages:
    """The held-out images, as they were generated.

    Attributes:
        cells: The values of each attribute in the images' cells, as the world's reader of truth sees them; None where
            no layer has a truth.
        unseen: Share of the images whose prompt no harvested image has.
    """

    cells: dict[str, np.ndarray] | None
    unseen: float


def observe_held_out(ctx: Context, observers: Sequence[Observer], what: str) -> HeldOutImages:
    """Generate the held-out images once for all observers.

    Args:
        ctx: The command's view of the workspace.
        observers: What looks at them.
        what: What is evaluated, for the progress bar.
    """
    import torch

    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    oracle = None
    layers = list(dict.fromkeys(observer.layer for observer in observers))
    if ctx.world.truth is not None and any(has_truth(ctx, layer) for layer in layers):
        oracle = ctx.world.truth.load()()
    steps = sorted({step for observer in observers for step in observer.steps})
    held_out = ctx.prompts.held_out(ctx.settings.evaluate_images, ctx.settings.seed, ctx.settings.images)

    def consume(captured: LayerActivations) -> None:
        for observer in observers:
            observer.consume(captured)

    reads: list[Mapping[str, np.ndarray]] = []
    with ctx.progress.task(f"evaluate {what}", len(held_out), unit="image") as bar, torch.inference_mode():
        for batch, pictures in generate(
            ctx.model,
            held_out,
            ctx.generation,
            capture=Capture(layers, steps, consume),
            batch_size=ctx.settings.batch_size,
            decode=oracle is not None,
        ):
            if oracle is not None:
                reads.append(oracle.read(pictures))
            bar.advance(len(batch))
    cells = {name: np.concatenate([read[name] for read in reads]) for name in reads[0]} if reads else None
    harvested = {job.alike for job in ctx.jobs(0, ctx.available(ctx.settings.images))}
    unseen = sum(job.alike not in harvested for job in held_out) / max(len(held_out), 1)
    return HeldOutImages(cells, unseen)


class FiringObserver:
    """Where the features of a dictionary fire, while the held-out images are generated.

    Args:
        dictionary: The dictionary, on the model's device.
        layer: The layer that is captured.
        steps: The denoising steps that are read.
        read: Reads the activations [images, cells, d_in] beside those of the layer; those of the layer if None.
    """

    def __init__(
        self,
        dictionary: Dictionary,
        layer: Layer,
        steps: Sequence[int],
        read: Callable[[LayerActivations], torch.Tensor] | None = None,
    ) -> None:
        self.dictionary, self.layer, self.steps = dictionary, layer, steps
        self.read = read or (lambda captured: captured.acts)
        self.collected = Collected(dictionary.num_latents)
        self._firsts: dict[int, int] = {}
        """The number of a batch's first cell among all cells, by the index of the batch's first image."""
        self._cells = 0

    def consume(self, captured: LayerActivations) -> None:
        """Encode a batch's activations at one step, where the dictionary reads that layer and step."""
        if captured.layer != self.layer or captured.step not in self.steps:
            return
        acts, index = captured.flat(self.read(captured)), captured.jobs[0].index
        if index not in self._firsts:
            self._firsts[index] = self._cells
            self._cells += len(acts)
        self.collected.add(self.encode(acts, captured.step), self._firsts[index])

    def encode(self, acts: torch.Tensor, step: int) -> SparseCode:
        """Encode activations [n, d_in] of one step."""
        return self.dictionary.encode(acts, step)

    def firing(self) -> Firing:
        """Return where the features fired so far."""
        return self.collected.firing()


class DictionaryObserver(FiringObserver):
    """A stored dictionary, and how well it rebuilds its layer.

    Args:
        ctx: The command's view of the workspace.
        row: The dictionary.
        layer: The layer that it reads.
    """

    def __init__(self, ctx: Context, row: DictionaryRow, layer: Layer) -> None:
        from autointerp.dictionaries.metrics import Reconstruction
        from autointerp.dictionaries.storage import load_dictionary

        folder = ctx.workspace.dictionary_dir(row.name)
        super().__init__(load_dictionary(folder, row.weights_sha256).to(ctx.model.device), layer, row.steps)
        self.row = row
        self.reconstruction = Reconstruction(row.d_in, row.num_latents)

    def encode(self, acts: torch.Tensor, step: int) -> SparseCode:
        """Encode activations, and measure how well they are rebuilt."""
        return self.reconstruction.update(self.dictionary, acts, step)
