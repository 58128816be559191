"""Run a pipeline once: one pass, with a random generator for each image, which may end after any step."""

from __future__ import annotations

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.arguments import named
from autointerp.diffusion.calls import steps_of_calls
from autointerp.diffusion.decoding import Decode, wrapped_decoding
from autointerp.diffusion.families import Family
from autointerp.diffusion.finite import checked_pictures
from autointerp.diffusion.guardrail import guarded
from autointerp.diffusion.sizing import exact_size
from autointerp.diffusion.sources.pixels import to_rgb
from autointerp.diffusion.stepping import listening
from autointerp.sizes import sides

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.model import Model
    from autointerp.diffusion.passes import Pass

AfterStep = Callable[[int, torch.Tensor], None]
"""(number of the scheduler's run, latents after it) -> None."""


def run_pipeline(
    batch: Pass,
    stop_after: int | None = None,
    after_step: AfterStep | None = None,
    latents: torch.Tensor | None = None,
) -> list[Image.Image]:
    """Call the pipeline once and return its pictures, RGB, laid on white where they are transparent.

    Args:
        batch: The pass to run.
        stop_after: 0-based step after which the run ends, without pictures; None runs to the end.
        after_step: Called after each run of the scheduler with the latents.
        latents: The noise to begin with; None draws it with each job's generator.

    Raises:
        NotFiniteError: The latents or the pictures are not finite.
        AutointerpError: The pipeline's guardrail refuses a prompt or a picture.
    """
    model = batch.model
    accepted = set(inspect.signature(type(model.pipeline).__call__).parameters)

    def is_over(run: int) -> bool:
        if stop_after is None:
            return False
        return stop_after in steps_of_calls(model.pipeline.scheduler, batch.steps, model.family.unrun)[: run + 1]

    given = _arguments(batch, accepted)
    given |= {} if latents is None else {"latents": latents}
    asks = "callback_on_step_end" in accepted
    if asks:

        def on_step_end(pipeline: Any, run: int, _timestep: Any, state: dict[str, Any]) -> dict[str, Any]:
            if after_step is not None:
                after_step(run, state["latents"])
            if is_over(run):
                pipeline._interrupt = True  # This is diffusers' own way to end a run early.
            return state

        given["callback_on_step_end"] = on_step_end
        given["callback_on_step_end_tensor_inputs"] = ["latents"] if after_step is not None else []
    reporting = nullcontext() if asks or after_step is None else _reporting(model, after_step)
    # Some pipelines report each step, but go on whatever they are told.
    ending = nullcontext() if asks and hasattr(type(model.pipeline), "interrupt") else _ending(batch, is_over)
    pictures = checked_pictures(model) if stop_after is None else nullcontext()
    with (
        torch.inference_mode(),
        model.autocast(),
        warnings.catch_warnings(),
        _mended(model),
        guarded(model),
        exact_size(model, *sides(batch.settings.size)),
        reporting,
        ending,
        pictures,
    ):
        warnings.filterwarnings("ignore", "invalid value encountered in cast")  # `checked_pictures` says more.
        warnings.filterwarnings("ignore", "Mismatch dtype between input and weight")  # Autocast causes this one.
        output = model.pipeline(
            prompt=[job.prompt for job in batch.jobs],
            num_inference_steps=batch.steps,
            generator=[torch.Generator("cpu").manual_seed(job.seed) for job in batch.jobs],
            output_type="pil" if stop_after is None else "latent",
            **given,
        )
        # Some autoencoders also paint how opaque a picture is.
        return [to_rgb(picture, lambda _: None) for picture in output.images] if stop_after is None else []
    return []  # `_ending` ended the run early.


def _arguments(batch: Pass, accepted: set[str]) -> dict[str, Any]:
    """Return the pipeline's arguments: size, text length and guidance.

    Pipelines of an open family get only the arguments that they know. A pipeline of any other family gets all that its
    family asks for, and fails if it does not know one: then it is not of the family.
    """
    width, height = sides(batch.settings.size)
    wanted: dict[str, Any] = {
        "width": width,
        "height": height,
        "max_sequence_length": batch.settings.max_sequence_length,
        "tokenizer_max_length": batch.settings.max_sequence_length,  # PRX calls it so.
        "max_area": width * height,  # FLUX.1 Kontext would scale any size to a megapixel.
    }
    is_open = batch.model.family.open
    wanted |= batch.arguments if is_open else {}
    given = {key: value for key, value in wanted.items() if key in accepted}
    return given if is_open else {**given, **batch.model.family.schedule(batch.steps), **batch.arguments}


@contextmanager
def _mended(model: Model) -> Iterator[None]:
    """Let the denoiser be called with the arguments that its family makes of those that the pipeline gives."""

    def mend(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return (), dict(model.family.mended(named(module, args, kwargs)))

    if type(model.family).mended is Family.mended:
        yield
        return
    handle = model.denoiser.register_forward_pre_hook(mend, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _reporting(model: Model, after_step: AfterStep) -> AbstractContextManager[None]:
    """Call `after_step` after each step of the scheduler, for pipelines that do not report their latents."""
    runs = itertools.count()
    return listening(model.pipeline.scheduler, lambda _prediction, latents: after_step(next(runs), latents))


class _EndOfRun(BaseException):
    """Ends the run of a pipeline that offers no other way. No `except Exception` of a library catches it."""


@contextmanager
def _ending(batch: Pass, is_over: Callable[[int], bool]) -> Iterator[None]:
    """End the run inside after the first run of the denoiser (0-based, both branches counted once) that `is_over`."""
    model, calls = batch.model, itertools.count(1)

    def count(_module: torch.nn.Module, _args: Any, _output: Any) -> None:
        run, rest = divmod(next(calls), batch.branches)
        if not rest and is_over(run - 1):
            raise _EndOfRun

    # Register this hook last, so that all other hooks have seen the run before it ends.
    handle = model.denoiser.register_forward_hook(count)
    try:
        yield
    except _EndOfRun:
        model.pipeline.maybe_free_model_hooks()
    finally:
        handle.remove()


@contextmanager
def float32_steps(model: Model) -> Iterator[None]:
    """Keep the scheduler's arithmetic in float32 where the denoiser computes in half precision, on any device.

    The denoiser would answer in half precision, and the scheduler casts the latents to the dtype of the answer. Eight
    bits of mantissa are too few to sum small steps. So the answer is widened, and the latents are narrowed again for
    the denoiser and the autoencoder, whose weights are of half precision on an accelerator.
    """
    if model.dtype == torch.float32:
        yield
        return
    weights = torch.float32 if model.device == "cpu" else model.dtype

    def narrow(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        inputs = named(module, args, kwargs)
        return (), model.family.with_latents(inputs, model.family.latents(inputs).to(weights))

    def widen(_module: torch.nn.Module, _args: Any, output: Any) -> Any:
        parts = [_widened(part) for part in _parts(output)]
        return tuple(parts) if isinstance(output, tuple) else type(output)(*parts)

    handles = [model.denoiser.register_forward_hook(widen)]
    if weights != torch.float32:
        handles.append(model.denoiser.register_forward_pre_hook(narrow, with_kwargs=True))
    try:
        with wrapped_decoding(model, _narrowed) if weights != torch.float32 else nullcontext():
            yield
    finally:
        for handle in handles:
            handle.remove()


def _widened(part: Any) -> Any:
    """Return a part of an output, a tensor or a list of one a row, in float32."""
    if isinstance(part, list):
        return [_widened(one) for one in part]
    return part.float() if isinstance(part, torch.Tensor) else part


def _parts(output: Any) -> tuple[Any, ...]:
    """Return the parts of a denoiser's output, which pipelines of an open family may ask for as an object."""
    return output if isinstance(output, tuple) else tuple(output.values())


def _narrowed(vae: Any, decode: Decode) -> Decode:
    """Hand latents to the autoencoder in the dtype of its weights."""

    def narrowed(latents: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        return decode(latents.to(vae.dtype), *args, **kwargs)

    return narrowed
