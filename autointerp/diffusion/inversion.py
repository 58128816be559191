"""Inverting a sampler: the noise, and the way from it, that end in given latents.

A deterministic sampler of first order makes of latents x and the model's answer m(x) the next ones, a x + b m(x), with
two numbers a and b a step. Going back means to solve that for x, step by step from the last, by fixed-point iteration
(as in Pan et al. 2023, arXiv 2309.04907, for DDIM): what is found leads to the later latents by the scheduler's own
step, unlike in the usual DDIM inversion, which takes m at the later latents instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.capture import denoised
from autointerp.diffusion.generation import GenerationSettings, ImageJob, float32_steps, run_pipeline
from autointerp.diffusion.noising import answering, nothing
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.loading import Model

TOLERANCE = 1e-4
"""Residual at which an iteration ends: of a step that is run forward again, over the norm of what it should give."""
LARGEST = 1e-2
"""Residual that is still taken where an iteration does not come nearer."""
ITERATIONS = 60
_STALLED = 10
"""Iterations without coming a tenth nearer after which there is no more to be had in this precision."""
_RECALLED = 5
"""Earlier iterates that an iteration is mixed from (Anderson acceleration)."""
_KNOWN = {
    "FlowMatchEulerDiscreteScheduler": lambda config: not config.get("stochastic_sampling"),
    "DDIMScheduler": lambda config: not config.get("clip_sample") and not config.get("thresholding"),
    "EulerDiscreteScheduler": lambda config: True,
}
"""Schedulers whose step is a x + b m(x), and what must hold of their configuration."""


@dataclass(frozen=True)
class Inverted:
    """The way to given latents.

    `noise` is float32 [images, ...], of unit variance, what a generation of these latents begins with. `given` is what
    the denoiser gets in each run that was inverted. `residual` float32 [images] is the largest over the steps: how far
    the scheduler's step, run forward from what was found, misses the later latents, over their norm.
    """

    noise: torch.Tensor
    given: dict[int, torch.Tensor]
    residual: torch.Tensor


def invert(
    model: Model, batch: Sequence[ImageJob], settings: GenerationSettings, clean: torch.Tensor, first_step: int = 0
) -> Inverted:
    """Find the way that ends in the latents `clean`, of the conditional branch without guidance.

    Guidance that the model takes as an input stays as it is set.

    Args:
        model: The model.
        batch: The jobs, whose prompts count.
        settings: Steps, size and so on.
        clean: [images, ...], as `encode_pictures` gives them.
        first_step: 0-based step to which to go back; `noise` is that of step 0 only if this is 0.

    Raises:
        AutointerpError: The scheduler has no exact inversion, or an iteration does not come near enough.
    """
    scheduler = model.pipeline.scheduler
    kind = type(scheduler).__name__
    if not (kind in _KNOWN and _KNOWN[kind](scheduler.config)):
        raise AutointerpError(
            f"the scheduler {kind} has no exact inversion: its steps are random, clipped, or look back at earlier ones",
            f"leave out invert, or use a model with one of {', '.join(_KNOWN)} (random sampling and clipping off)",
        )
    calls = _recorded(model, batch, settings)
    x = clean.float()
    given: dict[int, torch.Tensor] = {}
    residual = torch.zeros(len(batch), device=x.device)
    with torch.inference_mode(), model.autocast():
        for run in reversed(range(first_step, len(calls))):
            x, missed = _before(model, calls[run], run, x)
            given[run] = _scaled(scheduler, run, x)
            residual = residual.maximum(missed)
    if not float(residual.max()) <= LARGEST:
        worst = batch[int(residual.nan_to_num(torch.inf).argmax())]
        what = worst.picture.path if worst.picture else f"image {worst.index}"
        raise AutointerpError(
            f"the inversion of {what} misses by {float(residual.max()):.2g} of its norm",
            "set more steps in autointerp.toml",
        )
    noise = x / float(getattr(scheduler, "init_noise_sigma", 1.0))
    return Inverted(noise, given, residual)


def unguided(model: Model, settings: GenerationSettings) -> GenerationSettings:
    """The settings with which the denoiser runs its conditional branch alone."""
    _, branches = model.family.call(model.configs, settings.guidance, 1)
    return replace(settings, guidance=1.0) if model.family.doubles or branches > 1 else settings


def _recorded(model: Model, batch: Sequence[ImageJob], settings: GenerationSettings) -> list[dict[str, Any]]:
    """The arguments of each of the denoiser's calls of a generation, which runs without it."""
    calls: list[dict[str, Any]] = []

    def record(inputs: dict[str, Any]) -> tuple[torch.Tensor]:
        calls.append(inputs)
        return nothing(model, inputs)

    how = unguided(model, settings)
    arguments, _ = model.family.call(model.configs, how.guidance, len(batch))
    with answering(model, record), float32_steps(model):
        run_pipeline(model, batch, how, arguments, stop_after=how.steps - 1)
    return calls


def _scaled(scheduler: Any, run: int, x: torch.Tensor) -> torch.Tensor:
    """What the denoiser gets of the sample `x`."""
    if not hasattr(scheduler, "scale_model_input"):
        return x
    scheduler._step_index = run  # Schedulers count their steps, and tell nobody how to count otherwise.
    scaled: torch.Tensor = scheduler.scale_model_input(x, scheduler.timesteps[run])
    return scaled


def _step(scheduler: Any, run: int, answer: float, sample: float) -> float:
    """The scheduler's own step, of numbers."""
    scheduler._step_index = run
    one = torch.ones(1, 1)
    return float(scheduler.step(answer * one, scheduler.timesteps[run], sample * one, return_dict=False)[0])


def _before(model: Model, inputs: dict[str, Any], run: int, later: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The latents from which the step number `run` leads to `later`, and the residual [images].

    Anderson acceleration (type II) of x <- (later - b m(x)) / a, each image by itself.
    """
    scheduler = model.pipeline.scheduler
    a, b = _step(scheduler, run, 0.0, 1.0), _step(scheduler, run, 1.0, 0.0)
    key = "hidden_states" if "hidden_states" in inputs else "sample"
    dtype, count = denoised(inputs).dtype, len(later)
    norm = later.flatten(1).norm(dim=1)

    def answered(x: torch.Tensor) -> torch.Tensor:
        predicted = model.denoiser(**{**inputs, key: _scaled(scheduler, run, x).to(dtype)})[0]
        # PixArt predicts a variance beside the noise, in channels of its own.
        return predicted[:, : later.shape[1]].float()

    x, best = later, later
    least = torch.full_like(norm, torch.inf)
    tried: list[tuple[torch.Tensor, torch.Tensor]] = []
    reached: list[float] = []
    for _ in range(ITERATIONS):
        move = ((later - a * x - b * answered(x)) / a).flatten(1)
        missed = abs(a) * move.norm(dim=1) / norm
        better = missed < least
        least = torch.where(better, missed, least)
        best = torch.where(better.view(-1, *[1] * (x.ndim - 1)), x, best)
        reached.append(float(least.max()))
        if reached[-1] < TOLERANCE or (len(reached) > _STALLED and reached[-1] > 0.9 * reached[-1 - _STALLED]):
            break
        tried = [*tried, (x.flatten(1), move)][-_RECALLED:]
        x = _mixed(tried).view(count, *later.shape[1:])
    return best, least


def _mixed(tried: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """The next iterate [images, n] of the last ones and where the fixed-point iteration moves each."""
    x, move = tried[-1]
    if len(tried) == 1:
        return x + move
    xs = torch.stack([new[0] - old[0] for old, new in zip(tried, tried[1:], strict=False)], 2)
    moves = torch.stack([new[1] - old[1] for old, new in zip(tried, tried[1:], strict=False)], 2)
    # Least squares by normal equations, slightly regularised: a handful of unknowns an image. In float64, which not
    # every device has.
    left = (moves.mT @ moves).cpu().double()
    scale = left.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1)
    eye = torch.eye(left.shape[1], dtype=left.dtype)
    right = (moves.mT @ move[:, :, None]).cpu().double()
    weights = torch.linalg.solve(left + 1e-10 * scale.clamp(min=1e-30) * eye, right).to(x)
    return x + move - ((xs + moves) @ weights)[:, :, 0]
