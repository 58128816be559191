"""Record pictures with their activations: what edits that transfer, compare or replace activations are made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from autointerp.diffusion.capture import Capture, LayerActivations
from autointerp.diffusion.generation import generate

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.jobs import GenerationSettings, ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.model import Model


@dataclass(frozen=True)
class Recording:
    """A generated picture, with its activations in memory.

    Attributes:
        picture: The picture.
        acts: By layer and 0-based step, float32 [cells, d_in] of the conditional branch, cells row by row, on the
            model's device.
    """

    picture: Image.Image
    acts: dict[tuple[Layer, int], torch.Tensor]

    def of(self, layer: Layer, steps: Collection[int]) -> torch.Tensor:
        """Return the activations of a layer at some steps, float32 [steps, cells, d_in]."""
        return torch.stack([self.acts[layer, step] for step in steps])


def record(
    model: Model,
    jobs: Sequence[ImageJob],
    settings: GenerationSettings,
    layers: Sequence[Layer],
    batch_size: int = 16,
    edits: Sequence[Edit] = (),
) -> list[Recording]:
    """Generate images and keep the activations of layers at every step: 4 bytes x steps x cells x d_in an image.

    Args:
        model: A loaded model.
        jobs: The images; all of the run's size, each with a number of its own.
        settings: Settings of the run.
        layers: The layers, resolved for the size of the run.
        batch_size: Images a batch.
        edits: Changes of activations during the run; the changed activations are recorded.

    Raises:
        UsageError, AutointerpError: As `generate`.
    """
    acts: dict[int, dict[tuple[Layer, int], torch.Tensor]] = {job.index: {} for job in jobs}
    if len(acts) != len(jobs):
        raise ValueError("two jobs have one number")

    def keep(captured: LayerActivations) -> None:
        # Copy: the tensor is the running model's.
        for job, tokens in zip(captured.jobs, captured.acts.clone(), strict=True):
            acts[job.index][captured.layer, captured.step] = tokens

    capture = Capture(tuple(layers), range(settings.steps), keep)
    batches = generate(model, jobs, settings, capture, batch_size=batch_size, edits=edits)
    return [
        Recording(picture, acts[job.index]) for some, made in batches for job, picture in zip(some, made, strict=True)
    ]
