"""What a harvest does with the model: generate images, encode activations, keep what may become a crop.

Nothing here knows the database, so it runs in this process or on another machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from autointerp.crops.collect import CropCollector
from autointerp.crops.reading import NarrowCodeError
from autointerp.crops.records import Reduced
from autointerp.crops.render import encode_picture, picture_size
from autointerp.crops.split import split_of
from autointerp.dictionaries.protocol import WidthEncoder

if TYPE_CHECKING:
    from autointerp.dictionaries.protocol import Dictionary
    from autointerp.diffusion.capture import LayerActivations
    from autointerp.diffusion.jobs import GenerationSettings, ImageJob
    from autointerp.diffusion.layers import Layer
    from autointerp.diffusion.model import Model
    from autointerp.stages.harvest.batches import JobBatch


class EncodedPicture(NamedTuple):
    """The picture of a job as it is stored: WebP bytes, and its (width, height)."""

    job: ImageJob
    data: bytes
    size: tuple[int, int]


@dataclass
class PassReader:
    """One dictionary that reads a generation pass, at its own layer and steps."""

    dictionary: Dictionary
    layer: Layer
    steps: tuple[int, ...]
    collector: CropCollector
    timesteps: dict[int, float] = field(default_factory=dict)
    """The scheduler's timestep of each step that was read."""
    _parts: list[Reduced] = field(default_factory=list, init=False)
    """The steps of the batch under way."""

    def fresh(self) -> PassReader:
        """Return a reader of the same dictionary whose collector is empty."""
        return replace(self, collector=self.collector.fresh())

    def consume(self, captured: LayerActivations) -> None:
        """Encode a batch's activations at one step, and keep what may become a crop."""
        if captured.layer != self.layer or captured.step not in self.steps:
            return
        self.timesteps[captured.step] = captured.timestep
        acts = captured.acts.reshape(-1, captured.acts.shape[-1])
        indices = [job.index for job in captured.jobs]
        splits = [split_of(job.alike) for job in captured.jobs]
        counted = None if captured.mask is None else captured.mask.cpu().numpy()
        reduce = partial(
            self.collector.reduce,
            images=indices,
            splits=splits,
            grid=captured.grid,
            step=captured.step,
            counted=counted,
        )
        if acts.device.type != "cpu" and isinstance(self.dictionary, WidthEncoder):
            # The width of the code comes with the one read of the reduction. If the code was too narrow, encode again.
            with suppress(NarrowCodeError):
                code, fullest = self.dictionary.encode_within(acts, captured.step)
                self._parts.append(reduce(captured.counted(code), fullest=fullest))
                return
        self._parts.append(reduce(captured.counted(self.dictionary.encode(acts, captured.step))))

    def close_batch(self) -> None:
        """Hand the batch to the collector once all of its steps were consumed."""
        self.collector.update(self._parts)
        self._parts = []


def gather_crops(
    model: Model, settings: GenerationSettings, batches: Iterable[JobBatch], readers: Sequence[PassReader]
) -> Iterator[list[EncodedPicture]]:
    """Generate batches for all readers, each as it was cut. Yields a batch's pictures once every reader has it."""
    from autointerp.diffusion.capture import Capture
    from autointerp.diffusion.generation import generate

    def consume(captured: LayerActivations) -> None:
        for reader in readers:
            reader.consume(captured)

    for batch in batches:
        for jobs, pictures in generate(
            model,
            batch.jobs,
            settings,
            capture=Capture(
                list({reader.layer: None for reader in readers}),
                {step for reader in readers for step in reader.steps},
                consume,
            ),
            batch_size=len(batch.jobs),
        ):
            for reader in readers:
                reader.close_batch()
            encoded = [(job, encode_picture(picture)) for job, picture in zip(jobs, pictures, strict=True)]
            yield [EncodedPicture(job, data, picture_size(data)) for job, data in encoded]
