"""What a harvest does with the model: generate, encode, keep what may be a crop.

Nothing here knows the database, so that it runs in this process or on another machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from autointerp.crops.collect import CropCollector, Reduced
from autointerp.crops.render import encode_picture, picture_size
from autointerp.crops.split import split_of

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import Captured
    from autointerp.diffusion.generation import GenerationSettings, ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.loading import Model


class Drawn(NamedTuple):
    """A picture as it is stored: WebP bytes, and its (width, height)."""

    job: ImageJob
    data: bytes
    size: tuple[int, int]


@dataclass
class Reader:
    """One dictionary that reads a pass of generation, at its own layer and steps."""

    dictionary: Dictionary
    layer: Layer
    steps: tuple[int, ...]
    collector: CropCollector
    timesteps: dict[int, float] = field(default_factory=dict)
    """The scheduler's value of each step that was seen."""
    _parts: list[Reduced] = field(default_factory=list, init=False)

    def consume(self, captured: Captured) -> None:
        """Encode a batch's activations at one step, and keep what may be a crop."""
        if captured.layer != self.layer or captured.step not in self.steps:
            return
        self.timesteps[captured.step] = captured.timestep
        code = self.dictionary.encode(captured.acts.reshape(-1, self.layer.d_in), captured.step)
        indices = [job.index for job in captured.jobs]
        splits = [split_of(job.alike) for job in captured.jobs]
        self._parts.append(self.collector.reduce(code, indices, splits, captured.grid, captured.step))

    def close_batch(self) -> None:
        """Take in the batch of which all steps were consumed."""
        self.collector.update(self._parts)
        self._parts = []


def gather(
    model: Model, settings: GenerationSettings, jobs: Sequence[ImageJob], readers: Sequence[Reader], batch_size: int
) -> Iterator[list[Drawn]]:
    """Generate images from one pass for all readers; yields a batch's pictures once every reader has taken it in."""
    from autointerp.diffusion.generation import generate

    def consume(captured: Captured) -> None:
        for reader in readers:
            reader.consume(captured)

    for batch, pictures in generate(
        model,
        jobs,
        settings,
        layers=list({reader.layer: None for reader in readers}),
        capture_steps={step for reader in readers for step in reader.steps},
        consumer=consume,
        batch_size=batch_size,
    ):
        for reader in readers:
            reader.close_batch()
        encoded = [(job, encode_picture(picture)) for job, picture in zip(batch, pictures, strict=True)]
        yield [Drawn(job, data, picture_size(data)) for job, data in encoded]
