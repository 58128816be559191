"""Generating images, each a function of (model, prompt, seed) alone, while their activations are read.

Real pictures come the same way: where a job has one, the model runs on noised versions of it (`noising`) and nothing
is generated.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass, fields, replace
from itertools import groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.families import ModelDefaults
from autointerp.diffusion.layers import Layer, grid_at, layer_at
from autointerp.diffusion.sizes import Size, parse_size, sides
from autointerp.errors import AutointerpError, UsageError, nearest

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from autointerp.diffusion.capture import Consumer
    from autointerp.diffusion.edit import Edit
    from autointerp.diffusion.loading import Model


@dataclass(frozen=True)
class RealPicture:
    """A picture from a file, in place of one that is generated.

    `sha256` is that of the file's content. With `inverted` the noise that leads to the picture is found, see
    `inversion`; else noise is drawn.
    """

    path: Path
    sha256: str
    inverted: bool = False


@dataclass(frozen=True)
class ImageJob:
    """One image to make. `index` is its number in the run, `seed` that of its noise.

    `size` is its own, where it is not the run's. With a `picture` nothing is made: that is read.
    """

    index: int
    prompt: str
    seed: int
    size: Size | None = None
    picture: RealPicture | None = None

    @property
    def alike(self) -> str:
        """What images that look alike share, and what they are split by: the prompt; without one, the picture."""
        return self.prompt if self.prompt or self.picture is None else self.picture.sha256


@dataclass(frozen=True)
class GenerationSettings:
    """How images are made; `size` is that of images whose job has none of its own."""

    steps: int
    guidance: float
    size: Size
    max_sequence_length: int

    def of(self, job: ImageJob) -> GenerationSettings:
        """How this image is made: with its own size, where it has one."""
        return self if job.size in (None, self.size) else replace(self, size=parse_size(job.size))

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
        values["size"] = parse_size(values["size"])
        for key in ("steps", "max_sequence_length"):
            if type(values[key]) is not int or values[key] < 1:
                raise UsageError(f"{key} is {values[key]!r}", "give a whole number above 0")
        try:
            values["guidance"] = float(values["guidance"])
        except (TypeError, ValueError):
            raise UsageError(f"guidance is {values['guidance']!r}", "give a number") from None
        if not 0 <= values["guidance"] <= 100:
            raise UsageError(f"guidance is {values['guidance']:g}", "give a number from 0 to 100")
        return cls(**values)


def generation_hash(name: str, revision: str, job: ImageJob, settings: GenerationSettings) -> str:
    """What identifies an image: the same hash, the same picture (up to floating-point noise).

    Args:
        name: The model's name.
        revision: What names its weights.
        job: The image; neither its number nor where its picture lies counts.
        settings: Those of the run.
    """
    made_of = [name, revision, job.prompt, job.seed, asdict(settings.of(job))]
    if job.picture is not None:
        from autointerp.diffusion.pictures import PREPARATION

        about = {"picture": job.picture.sha256, "inverted": job.picture.inverted, "preparation": PREPARATION}
        made_of.append(about)
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
    edits: Sequence[Edit] = (),
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    """Generate images in batches; a batch's activations have all been consumed when it is yielded.

    Args:
        model: A loaded model.
        jobs: What to make, in order; read one batch ahead at most.
        settings: How.
        layers: What the consumer gets of each batch, see `capture`; resolved for the size of `settings`.
        capture_steps: At which 0-based steps; all layers at all of them.
        consumer: Gets `Captured` while a batch runs.
        batch_size: Images a batch; fewer where the size changes, see `batched`.
        decode: False makes no pictures: lists are empty, and a batch ends after its last wanted step.
        edits: What is changed on the way, see `edit`; the consumer gets the changed activations.

    Raises:
        UsageError: A size, step or batch size that cannot be.
        AutointerpError: Memory runs out, or the pipeline does not do what is known of its family.
    """
    if batch_size < 1:
        raise UsageError(f"the batch size is {batch_size}", "give a number above 0")
    if layers and consumer is None:
        raise ValueError("layers without a consumer")
    wanted = check_capture_steps(capture_steps, settings.steps)
    model.description.grid(settings.size)
    for layer in (*layers, *(one.layer for one in edits)):
        if layer.grid != (grid := grid_at(model, layer, settings.size)):
            raise ValueError(f"{layer.name} was resolved for a grid of {layer.grid}, not {grid}")
    return _batches(model, iter(jobs), settings, layers, wanted, consumer, batch_size, decode, edits)


def steps_of_calls(timesteps: Sequence[float], steps: int) -> list[int]:
    """Which 0-based step each run of the denoiser belongs to, of a scheduler's list of timesteps.

    Schedulers of higher order run the denoiser several times for a step: PNDM four times in three steps, Heun twice
    a step but the last. Runs that follow each other at one timestep are one step. The last of them starts from the
    sample that the step arrived at, so it is the one that counts; the others get -1.

    Raises:
        AutointerpError: There are not as many different timesteps as steps.
    """
    last = [n for n, t in enumerate(timesteps) if n + 1 == len(timesteps) or timesteps[n + 1] != t]
    if len(last) != steps:
        raise AutointerpError(
            f"the scheduler runs at {len(last)} timesteps in {steps} steps",
            "use another number of steps, or a model with another scheduler",
        )
    return [last.index(n) if n in last else -1 for n in range(len(timesteps))]


def _batches(
    model: Model,
    jobs: Iterator[ImageJob],
    settings: GenerationSettings,
    layers: Sequence[Layer],
    wanted: tuple[int, ...],
    consumer: Consumer | None,
    batch_size: int,
    decode: bool,
    edits: Sequence[Edit],
) -> Iterator[tuple[list[ImageJob], list[Image.Image]]]:
    from autointerp.diffusion.capture import capture
    from autointerp.diffusion.devices import out_of_memory
    from autointerp.diffusion.edit import edit
    from autointerp.diffusion.real import read_pictures

    for batch in batched(jobs, batch_size):
        how = settings.of(batch[0])
        model.description.grid(how.size)
        with ExitStack() as stack:
            # Nothing of ours stays on the model while the caller holds a batch: it may never come back for more.
            what = f"batches of {len(batch)} images of {how.size} px"
            stack.enter_context(out_of_memory(what, model.description, model.device, running=True))
            arguments, branches = model.family.call(model.configs, how.guidance, len(batch))
            if edits:
                here = [replace(one, layer=layer_at(model, one.layer, how.size)) for one in edits]
                stack.enter_context(edit(model, here, len(batch), how.steps, branches))
            reading: AbstractContextManager[None] = nullcontext()
            if layers and wanted and consumer is not None:
                grids = [grid_at(model, layer, how.size) for layer in layers]
                reading = capture(model, batch, layers, wanted, consumer, how.steps, branches, grids)
            if batch[0].picture is not None:
                pictures = read_pictures(model, batch, how, wanted, reading, decode)
            else:
                stack.enter_context(float32_steps(model))
                stack.enter_context(reading)
                last = None if decode else max(wanted, default=0)
                pictures = run_pipeline(model, batch, how, arguments, last)
        if decode and len(pictures) != len(batch):
            raise AutointerpError(f"the pipeline made {len(pictures)} pictures of {len(batch)} prompts")
        yield batch, pictures


def batched(jobs: Iterable[ImageJob], batch_size: int) -> Iterator[list[ImageJob]]:
    """Jobs in lists of `batch_size`, each of one size and kind, in their order.

    A list ends early where the size changes, or where generated images follow real ones. So where lists begin depends
    on the jobs alone, and a run that goes on at the beginning of one has the same from there on.
    """
    for _, alike in groupby(jobs, lambda job: (job.size, job.picture and job.picture.inverted)):
        while batch := list(islice(alike, batch_size)):
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

    With `stop_after` the run ends after that 0-based step and makes no pictures. `after_step` is told each run of the
    scheduler and the pipeline's state after it: its `latents`.

    Raises:
        AutointerpError: The pipeline tells nobody its latents, and `after_step` asks for them.
    """
    import torch

    accepted = inspect.signature(type(model.pipeline).__call__).parameters

    def past(run: int) -> bool:
        if stop_after is None:
            return False
        timesteps = [float(t) for t in model.pipeline.scheduler.timesteps]
        return stop_after in steps_of_calls(timesteps, settings.steps)[: run + 1]

    def ended(pipeline: Any, run: int, timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
        if after_step is not None:
            after_step(run, state)
        if past(run):
            pipeline._interrupt = True  # diffusers' own way to end a run early
        return state

    def told(step: int, timestep: Any, latents: Any) -> None:
        if after_step is not None:
            after_step(step, {"latents": latents})

    wanted: dict[str, Any] = {
        "width": sides(settings.size)[0],
        "height": sides(settings.size)[1],
        "max_sequence_length": settings.max_sequence_length,
    }
    # What the family says is passed as it is: a pipeline that does not know it is not of the family.
    wanted |= arguments if model.family.open else {}
    given = {key: value for key, value in wanted.items() if key in accepted}
    given |= {} if model.family.open else arguments
    ending: AbstractContextManager[Any] = nullcontext()
    if "callback_on_step_end" in accepted:
        given["callback_on_step_end"] = ended
        given["callback_on_step_end_tensor_inputs"] = ["latents"] if after_step is not None else []
    else:
        ending = _ending(model, past)
        if after_step is not None and "callback" not in accepted:
            raise AutointerpError(
                f"{type(model.pipeline).__name__} tells nobody its latents",
                "leave out what needs them: the loss recovered",
            )
        given |= {"callback": told} if after_step is not None else {}

    with torch.inference_mode(), model.autocast(), warnings.catch_warnings(), ending:
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")  # autocast's own doing
        output = model.pipeline(
            prompt=[job.prompt for job in batch],
            num_inference_steps=settings.steps,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in batch],
            output_type="pil" if stop_after is None else "latent",
            **given,
        )
        return list(output.images) if stop_after is None else []
    return []  # It was ended early.


class _Ended(BaseException):
    """Ends a run of a pipeline that knows no other way; no `except Exception` of a library keeps it."""


@contextmanager
def _ending(model: Model, past: Callable[[int], bool]) -> Iterator[None]:
    """End the run inside after the denoiser's run number `run` (0-based, both branches counted once) that is `past`."""
    runs = 0

    def count(module: torch.nn.Module, args: Any, output: Any) -> None:
        nonlocal runs
        runs += 1
        if past(runs - 1):
            raise _Ended

    # Last of the hooks: whoever reads this run has read it by then.
    handle = model.denoiser.register_forward_hook(count)
    try:
        yield
    except _Ended:
        model.pipeline.maybe_free_model_hooks()
    finally:
        handle.remove()


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
