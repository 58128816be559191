"""Run the denoiser at chosen latents, inside the pipeline's own call.

The pipeline prepares all other arguments of the denoiser (text, timesteps, positions, sizes) as its family does. So
this module holds nothing about any family.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.arguments import named
from autointerp.diffusion.calls import Calls

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model
    from autointerp.diffusion.passes import Pass

Latents = Callable[[int, torch.Tensor], torch.Tensor]
"""(number of the denoiser's run, noise that the generation begins with) -> the denoiser's input in that run.

Both tensors are [images, ...] in the form in which the denoiser takes latents; the noise is float32, of unit variance.
"""


@contextmanager
def denoising_at(batch: Pass, steps: Collection[int], latents: Latents) -> Iterator[Calls]:
    """Run the denoiser only at some steps of the one generation inside, at the given latents.

    All other calls are answered with zeros. Under guidance, the other half of a doubled batch runs at the same latents,
    as in the pipeline; a separate call of the other branch is answered with zeros. Hooks on the denoiser stay.

    Args:
        batch: The pass that runs inside.
        steps: 0-based steps at which the denoiser runs.
        latents: Gives the denoiser's input at each.

    Yields:
        The denoiser's calls, which describe the present one.
    """
    model, count = batch.model, batch.count
    calls = Calls(batch)
    noise: list[torch.Tensor] = []

    def runs() -> bool:
        return calls.conditional and calls.step in steps

    def put(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls.before(module, args, kwargs)
        inputs = named(module, args, kwargs)
        old = model.family.latents(inputs)
        if not noise:
            noise.append(initial_noise(model, old, count))
        if not runs():
            return None
        given = latents(calls.run, noise[0]).to(old.dtype)
        return (), model.family.with_latents(inputs, torch.cat([given] * (old.shape[0] // count)))

    handle = model.denoiser.register_forward_pre_hook(put, with_kwargs=True)
    try:
        with answering(model, lambda inputs: None if runs() else zero_answer(model, inputs)):
            yield calls
        calls.check()
    finally:
        handle.remove()


@contextmanager
def answering(model: Model, answer: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """Let `answer` stand in for the denoiser's forward; where it returns None, the denoiser runs. Hooks stay.

    Args:
        model: The model whose denoiser is replaced.
        answer: Maps the denoiser's arguments by name to its output, or to None.
    """
    denoiser = model.denoiser
    own, run = vars(denoiser).get("forward"), denoiser.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        given = answer(named(denoiser, args, kwargs))
        return run(*args, **kwargs) if given is None else given

    denoiser.forward = forward
    try:
        yield
    finally:
        if own is None:
            del denoiser.forward
        else:
            denoiser.forward = own


def zero_answer(model: Model, inputs: dict[str, Any]) -> Any:
    """Return an output of the denoiser that predicts zeros."""
    old = model.family.latents(inputs)
    sizes: Any = model.denoiser.config
    channels = sizes.get("out_channels") if old.ndim == 4 else None
    return model.family.answer(old.new_zeros(old.shape[0], channels or old.shape[1], *old.shape[2:]))


def initial_noise(model: Model, given: torch.Tensor, count: int) -> torch.Tensor:
    """Recover the noise that a generation begins with, float32, from the denoiser's first input."""
    scheduler = model.pipeline.scheduler
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    if hasattr(scheduler, "scale_model_input"):
        first = scheduler.timesteps[0]
        scale *= float(scheduler.scale_model_input(torch.ones(1, device=first.device), first))
    return given[-count:].float() / scale


def tells_angles(scheduler: Any) -> bool:
    """Whether the scheduler mixes picture and noise by the cosine and the sine of its timestep (TrigFlow).

    The one pipeline of diffusers with such a scheduler divides by the sum of both before the denoiser (SANA-Sprint,
    arXiv 2503.09641, section 3.1). So its denoiser is one of flow matching.
    """
    return type(scheduler).__name__ == "SCMScheduler"


def matches_flow(scheduler: Any) -> bool:
    """Whether picture and noise are mixed on a straight line before the denoiser (flow matching)."""
    return tells_angles(scheduler) or (hasattr(scheduler, "scale_noise") and hasattr(scheduler, "sigmas"))


def noise_share(scheduler: Any, run: int) -> float:
    """Return the noise's share in the denoiser's input at a run, from 0 to 1, where `matches_flow`."""
    if not tells_angles(scheduler):
        return float(scheduler.sigmas[run])
    angle = float(scheduler.timesteps[run])
    return math.sin(angle) / (math.sin(angle) + math.cos(angle))


def of_unit_scale(scheduler: Any, latents: torch.Tensor) -> torch.Tensor:
    """Return latents between the steps in the scale of encoded pictures, where the scheduler has another."""
    return latents / scheduler.config.sigma_data if tells_angles(scheduler) else latents


def noised(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Noise clean latents to the level of a run of the denoiser, by the scheduler's own rule."""
    scheduler = model.pipeline.scheduler
    if matches_flow(scheduler):
        sigma = noise_share(scheduler, run)
        return (1 - sigma) * clean + sigma * noise
    timestep = scheduler.timesteps[run]
    with _at_position(scheduler, run):
        mixed: torch.Tensor = scheduler.add_noise(clean, noise, timestep.reshape(1).expand(len(clean)))
        return scheduler.scale_model_input(mixed, timestep) if hasattr(scheduler, "scale_model_input") else mixed


@contextmanager
def _at_position(scheduler: Any, run: int) -> Iterator[None]:
    """Let a scheduler find its noise level by position: a rounded timestep that two steps share finds one of them."""
    if not hasattr(scheduler, "_begin_index"):
        yield
        return
    kept = scheduler._begin_index, scheduler._step_index
    scheduler._begin_index, scheduler._step_index = run, None
    try:
        yield
    finally:
        scheduler._begin_index, scheduler._step_index = kept


def picture_share(model: Model, run: int) -> float:
    """Return the picture's share of the variance of the denoiser's input at a run, from 0 to 1."""
    one = torch.ones(1, 1, device=model.pipeline.scheduler.timesteps.device)
    none = torch.zeros_like(one)
    kept, added = (float(noised(model, run, *pair)) for pair in ((one, none), (none, one)))
    return kept**2 / (kept**2 + added**2)
