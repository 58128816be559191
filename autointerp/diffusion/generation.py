"""Generating images, each a function of (model, prompt, seed) alone, while their activations are read."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.families import ModelDefaults
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError, UsageError, nearest

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.capture import Consumer
    from autointerp.diffusion.loading import Model


@dataclass(frozen=True)
class ImageJob:
    """One image to make. `index` is its number in the run, `seed` that of its noise."""

    index: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class GenerationSettings:
    """How images are made; `size` is the side of the square picture in pixels."""

    steps: int
    guidance: float
    size: int
    max_sequence_length: int

    @classmethod
    def resolve(cls, defaults: ModelDefaults, overrides: Mapping[str, Any] | None = None) -> GenerationSettings:
        """The model's defaults with the given values over them; None means the default.

        Raises:
            UsageError: An unknown key, or a value that no generation can have.
        """
        known = [f.name for f in fields(cls)]
        values = {name: getattr(defaults, name) for name in known}
        for key, value in (overrides or {}).items():
            if key not in known:
                raise UsageError(f"there is no generation setting {key!r}", nearest(key, known))
            if value is not None:
                values[key] = value
        for key in ("steps", "size", "max_sequence_length"):
            if type(values[key]) is not int or values[key] < 1:
                raise UsageError(f"{key} is {values[key]!r}", "give a whole number above 0")
        try:
            values["guidance"] = float(values["guidance"])
        except (TypeError, ValueError):
            raise UsageError(f"guidance is {values['guidance']!r}", "give a number") from None
        if not 0 <= values["guidance"] <= 100:
            raise UsageError(f"guidance is {values['guidance']:g}", "give a number from 0 to 100")
        return cls(**values)


def generation_hash(name: str, revision: str, prompt: str, seed: int, settings: GenerationSettings) -> str:
    """What identifies an image: the same hash, the same picture (up to floating-point noise)."""
    made_of = [name, revision, prompt, seed, asdict(settings)]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()


def check_capture_steps(capture_steps: Collection[int], steps: int) -> tuple[int, ...]:
    """The steps, sorted.

    Raises:
        UsageError: One of them is not among the generation's steps.
    """
    for step in capture_steps:
        if not 0 <= step < steps:
            raise UsageError(f"step {step} is not among the {steps} steps", f"give numbers from 0 to {steps - 1}")
    return tuple(sorted(set(capture_steps)))


def generate(
    model: Model,
    jobs: Iterable[ImageJob],
    settings: GenerationSettings,
    layers: Sequence[Layer] = (),
    capture_steps: Collection[int] = (),
    consumer: Consumer | None = None,
    batch_size: int = 16,
    decode: bool = True,
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    """Generate images in batches; a batch's activations have all been consumed when it is yielded.

    Args:
        model: A loaded model.
        jobs: What to make, in order; read one batch ahead at most.
        settings: How.
        layers: What the consumer gets of each batch, see `capture`.
        capture_steps: At which 0-based steps; all layers at all of them.
        consumer: Gets `Captured` while a batch runs.
        batch_size: Images a batch; the last one may be smaller.
        decode: False makes no pictures: lists are empty, and a batch ends after its last wanted step.

    Raises:
        UsageError: A size, step or batch size that cannot be.
        AutointerpError: Memory runs out, or the pipeline does not do what is known of its family.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size is {batch_size}", "give a number above 0")
    if layers and consumer is None:
        raise ValueError("layers without a consumer")
    wanted = check_capture_steps(capture_steps, settings.steps)
    grid = model.description.grid(settings.size)
    for layer in layers:
        if layer.grid != grid:
            raise ValueError(f"{layer.name} was resolved for a grid of {layer.grid}, not {grid}")
    return _batches(model, iter(jobs), settings, layers, wanted, consumer, batch_size, decode)


def _batches(
    model: Model,
    jobs: Iterator[ImageJob],
    settings: GenerationSettings,
    layers: Sequence[Layer],
    wanted: tuple[int, ...],
    consumer: Consumer | None,
    batch_size: int,
    decode: bool,
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    from autointerp.diffusion.capture import capture
    from autointerp.diffusion.loading import out_of_memory

    for batch in batched(jobs, batch_size):
        arguments, branches = model.family.call(model.configs, settings.guidance, len(batch))
        with ExitStack() as stack:
            # Nothing of ours stays on the model while the caller holds a batch: it may never come back for more.
            stack.enter_context(out_of_memory(f"batches of {len(batch)} images of {settings.size} px"))
            stack.enter_context(float32_steps(model))
            if layers and wanted and consumer is not None:
                stack.enter_context(capture(model, batch, layers, wanted, consumer, settings.steps, branches))
            last = None if decode else max(wanted, default=0)
            pictures = run_pipeline(model, batch, settings, arguments, last)
        if decode and len(pictures) != len(batch):
            raise AutointerpError(f"the pipeline made {len(pictures)} pictures of {len(batch)} prompts")
        yield batch, pictures


def batched(jobs: Iterable[ImageJob], batch_size: int) -> Iterator[list[ImageJob]]:
    """Jobs in lists of `batch_size`; the last may be shorter."""
    left = iter(jobs)
    while batch := list(islice(left, batch_size)):
        yield batch


def run_pipeline(
    model: Model,
    batch: Sequence[ImageJob],
    settings: GenerationSettings,
    arguments: Mapping[str, Any],
    stop_after: int | None = None,
    after_step: Callable[[int, dict[str, Any]], None] | None = None,
) -> list[Image.Image]:
    """One call of the pipeline, with a generator an image.

    With `stop_after` the run ends after that 0-based step and makes no pictures. `after_step` is told each step and
    the pipeline's state there: its `latents`.
    """
    import torch

    def ended(pipeline: Any, step: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        if after_step is not None:
            after_step(step, state)
        if stop_after is not None and step >= stop_after:
            pipeline._interrupt = True  # diffusers' own way to end a run early
        return state

    with torch.inference_mode(), model.autocast(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")  # autocast's own doing
        output = model.pipeline(
            prompt=[job.prompt for job in batch],
            num_inference_steps=settings.steps,
            height=settings.size,
            width=settings.size,
            max_sequence_length=settings.max_sequence_length,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in batch],
            output_type="pil" if stop_after is None else "latent",
            callback_on_step_end=ended,
            callback_on_step_end_tensor_inputs=["latents"] if after_step is not None else [],
            **arguments,
        )
    return list(output.images) if stop_after is None else []


@contextmanager
def float32_steps(model: Model) -> Iterator[None]:
    """Under a processor's autocast, keep what the scheduler integrates in float32.

    The denoiser would answer in bfloat16, the scheduler casts the latents to that, and eight bits of mantissa are
    too few to add small steps in.
    """
    import torch

    def widen(module: torch.nn.Module, args: Any, output: Any) -> Any:
        return tuple(part.float() if isinstance(part, torch.Tensor) else part for part in output)

    if model.device != "cpu" or model.dtype == torch.float32:
        yield
        return
    handle = model.denoiser.register_forward_hook(widen)
    try:
        yield
    finally:
        handle.remove()
