"""Running the denoiser at latents of our choice, inside the pipeline's own call.

The pipeline prepares everything else that the denoiser is told (text, timesteps, positions, sizes), in whichever way
its family does that. So nothing about a family is said here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.capture import Calls, denoised, named

if TYPE_CHECKING:
    from autointerp.diffusion.loading import Model

Latents = Callable[[int, torch.Tensor], torch.Tensor]
"""(number of the denoiser's run, noise that the generation begins with) -> what the denoiser gets in that run.

Both [images, ...] in the form in which the denoiser takes latents; the noise is float32, of unit variance.
"""


@contextmanager
def denoising_at(
    model: Model, count: int, total: int, branches: int, steps: Collection[int], latents: Latents
) -> Iterator[Calls]:
    """In the one generation that runs inside, the denoiser runs at some steps alone, at the given latents.

    Everywhere else it is answered for. Under guidance the other half of a doubled batch runs at the same latents, as
    the pipeline does it; a call of the other branch alone is answered for. Hooks on the denoiser stay.

    Args:
        model: The model that runs.
        count: Images of the batch.
        total: Denoising steps of the generation.
        branches: Denoiser runs a step, the conditional one first.
        steps: 0-based steps at which it runs.
        latents: What it gets there.

    Yields:
        What is known of the present call.
    """
    calls = Calls(model, total, branches, count)
    noise: list[torch.Tensor] = []

    def counts() -> bool:
        return calls.conditional and calls.step in steps

    def put(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls.before(module, args, kwargs)
        inputs = named(module, args, kwargs)
        old = denoised(inputs)
        if not noise:
            noise.append(initial_noise(model, old, count))
        if not counts():
            return None
        given = latents(calls.run, noise[0]).to(old.dtype)
        key = "hidden_states" if "hidden_states" in inputs else "sample"
        return (), {**inputs, key: torch.cat([given] * (old.shape[0] // count))}

    def answer(inputs: dict[str, Any]) -> Any:
        return None if counts() else nothing(model, inputs)

    handle = model.denoiser.register_forward_pre_hook(put, with_kwargs=True)
    try:
        with answering(model, answer):
            yield calls
    finally:
        handle.remove()


@contextmanager
def answering(model: Model, answer: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
    """The denoiser gives what `answer` does of its arguments, and runs only where that is None. Its hooks stay."""
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


def nothing(model: Model, inputs: dict[str, Any]) -> tuple[torch.Tensor]:
    """An answer of zeros, of the shape that the denoiser's own would have."""
    old = denoised(inputs)
    sizes: Any = model.denoiser.config
    channels = sizes.get("out_channels") if old.ndim == 4 else None
    return (old.new_zeros(old.shape[0], channels or old.shape[1], *old.shape[2:]),)


def initial_noise(model: Model, given: torch.Tensor, count: int) -> torch.Tensor:
    """The noise that a generation begins with, float32, of what the denoiser gets in its first run."""
    scheduler = model.pipeline.scheduler
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    if hasattr(scheduler, "scale_model_input"):
        scale *= float(scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[0]))
    return given[-count:].float() / scale


def matches_flow(scheduler: Any) -> bool:
    """Whether it mixes picture and noise on a straight line."""
    return hasattr(scheduler, "scale_noise") and hasattr(scheduler, "sigmas")


def noised(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the denoiser gets at its run number `run` for clean latents with this noise, by the scheduler's own rule."""
    scheduler = model.pipeline.scheduler
    if matches_flow(scheduler):
        sigma = float(scheduler.sigmas[run])
        return (1 - sigma) * clean + sigma * noise
    timestep = scheduler.timesteps[run]
    mixed: torch.Tensor = scheduler.add_noise(clean, noise, timestep.reshape(1).expand(len(clean)))
    return scheduler.scale_model_input(mixed, timestep) if hasattr(scheduler, "scale_model_input") else mixed


def picture_share(model: Model, run: int) -> float:
    """Which share of the variance of what the denoiser gets at that run is the picture's, from 0 to 1."""
    one, none = torch.ones(1, 1), torch.zeros(1, 1)
    kept, added = (float(noised(model, run, *pair)) for pair in ((one, none), (none, one)))
    return kept**2 / (kept**2 + added**2)
