"""Generate images, each a function of (model, prompt, seed) alone, while their activations are read.

Real pictures come by the same function: where a job has a picture, the model runs on noised versions of it (see `real`)
and generates nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from autointerp.diffusion.capture import Capture, capturing
from autointerp.diffusion.devices import out_of_memory
from autointerp.diffusion.editing import editing
from autointerp.diffusion.edits import Edit
from autointerp.diffusion.jobs import GenerationSettings, ImageJob, batched, check_capture_steps
from autointerp.diffusion.layers import grid_at
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.real import read_pictures
from autointerp.diffusion.running import float32_steps, run_pipeline
from autointerp.diffusion.word_maps import reading_words
from autointerp.errors import AutointerpError, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.model import Model


def generate(
    model: Model,
    jobs: Iterable[ImageJob],
    settings: GenerationSettings,
    capture: Capture | None = None,
    batch_size: int = 16,
    decode: bool = True,
    edits: Sequence[Edit] = (),
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    """Generate images in batches. A batch is yielded after all its activations have been consumed.

    Args:
        model: A loaded model.
        jobs: The images, in order; at most one batch is read ahead.
        settings: Settings of the run.
        capture: The layers to read, at which steps, and their consumer; None reads nothing.
        batch_size: Images a batch; fewer where the size changes (see `batched`).
        decode: Whether to make pictures. If not, lists of pictures are empty, and a batch ends after its last captured
            step.
        edits: Changes of activations during the run; the consumer gets the changed activations.

    Raises:
        UsageError: A size, a step or the batch size is out of range.
        AutointerpError: Memory runs out, or the pipeline differs from what is known of its family.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size is {batch_size}", "give a number above 0")
    if capture is not None:
        capture = replace(capture, steps=check_capture_steps(capture.steps, settings.steps))
    model.description.grid(settings.size)
    for layer in (*(capture.layers if capture else ()), *(one.layer for one in edits)):
        if layer.grid != (grid := grid_at(model, layer, settings.size)):
            raise ValueError(f"{layer.name} was resolved for a grid of {layer.grid}, not {grid}")
    batches = (Pass(model, tuple(some), settings.of(some[0])) for some in batched(jobs, batch_size))
    return _generated(batches, capture, decode, edits)


def _generated(
    batches: Iterator[Pass], capture: Capture | None, decode: bool, edits: Sequence[Edit]
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    """Run each pass, and leave no hook on the model while the caller holds a batch: the caller may never return."""
    for batch in batches:
        model, size = batch.model, batch.settings.size
        model.description.grid(size)
        with ExitStack() as stack:
            what = f"batches of {batch.count} images of {size} px"
            stack.enter_context(out_of_memory(what, model.description, model.device, running=True))
            if edits:
                stack.enter_context(editing(batch, edits))
            reading = _reading(batch, capture)
            if batch.jobs[0].picture is not None:
                pictures = read_pictures(batch, capture.steps if capture is not None else (), reading, decode)
            else:
                stack.enter_context(float32_steps(model))
                stack.enter_context(reading)
                last = capture.last_step(batch.steps) if capture is not None else 0
                pictures = run_pipeline(batch, None if decode else last)
        if decode and len(pictures) != batch.count:
            raise AutointerpError(f"the pipeline made {len(pictures)} pictures of {batch.count} prompts")
        yield list(batch.jobs), pictures


@contextmanager
def _reading(batch: Pass, capture: Capture | None) -> Iterator[None]:
    """Read all that a capture asks for while the model runs."""
    with ExitStack() as stack:
        if capture is not None and capture.words is not None:
            stack.enter_context(reading_words(batch, capture.words))
        if capture is not None and capture.layers and capture.steps:
            stack.enter_context(capturing(batch, capture))
        yield
