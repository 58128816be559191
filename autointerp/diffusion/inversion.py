"""Invert a sampler: find the noise, and the path from it, that end in given latents.

A deterministic sampler of first order maps latents x and the model's answer m(x) to the next latents a x + b m(x), with
two numbers a and b a step. The inversion solves this for x, step by step from the last, by fixed-point iteration (as
Pan et al. 2023, arXiv 2309.04907, do for DDIM). The scheduler's own step leads from the solution to the later latents.
The usual DDIM inversion takes m at the later latents instead, and so misses them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.dictionaries.precision import wide_dtype
from autointerp.dictionaries.reading import read_together
from autointerp.diffusion.finite import OTHER_DTYPE, NotFiniteError
from autointerp.diffusion.noising import answering, zero_answer
from autointerp.diffusion.running import float32_steps, run_pipeline
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.model import Model
    from autointerp.diffusion.passes import Pass

TOLERANCE = 1e-4
"""Residual at which an iteration ends: the error of the step run forward again, relative to the norm of its target."""
LARGEST = 1e-2
"""Largest residual that is accepted when an iteration no longer improves."""
_TOLERANCE_STEPS, _LARGEST_STEPS = 1 / 8, 4
"""The same in steps of a half precision (its epsilon), where these are larger: the answers are no finer."""
ITERATIONS = 60
_STALLED = 10
"""Iterations without an improvement by a tenth after which this precision allows no more."""
_RECALLED = 5
"""Earlier iterates that a new one is mixed from (Anderson acceleration)."""


def _samples_nothing(config: Mapping[str, Any]) -> bool:
    """Whether a scheduler of flow matching is deterministic."""
    return not config.get("stochastic_sampling")


def _clips_nothing(config: Mapping[str, Any]) -> bool:
    """Whether a DDIM scheduler leaves its predictions as they are."""
    return not config.get("clip_sample") and not config.get("thresholding")


_KNOWN: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "FlowMatchEulerDiscreteScheduler": _samples_nothing,
    "DDIMScheduler": _clips_nothing,
    "EulerDiscreteScheduler": lambda _config: True,
}
"""Schedulers whose step is a x + b m(x), and the condition on their configuration."""


@dataclass(frozen=True)
class Inversion:
    """The path to given latents.

    Attributes:
        noise: float32 [images, ...], of unit variance: the noise that a generation of these latents begins with.
        given: The denoiser's input in each run that was inverted.
        residual: float32 [images], the largest over the steps: the error of the scheduler's step, run forward from the
            solution, relative to the norm of the later latents.
    """

    noise: torch.Tensor
    given: dict[int, torch.Tensor]
    residual: torch.Tensor


def invert(batch: Pass, clean: torch.Tensor, first_step: int = 0) -> Inversion:
    """Find the path that ends in the latents `clean`, for the conditional branch without guidance.

    Guidance that the model takes as an input stays as it is set.

    Args:
        batch: The pass whose generation would end in the latents; its prompts count.
        clean: [images, ...], as `encode_pictures` returns them.
        first_step: 0-based step at which to stop; `noise` is the generation's own only where this is 0.

    Raises:
        NotFiniteError: The model's predictions are not finite.
        AutointerpError: The scheduler has no exact inversion, or an iteration does not converge.
    """
    model, scheduler = batch.model, batch.model.pipeline.scheduler
    kind = type(scheduler).__name__
    if not (kind in _KNOWN and _KNOWN[kind](scheduler.config)):
        raise AutointerpError(
            f"the scheduler {kind} has no exact inversion: its steps are random, clipped, or look back at earlier ones",
            f"leave out invert, or use a model with one of {', '.join(_KNOWN)} (random sampling and clipping off)",
        )
    calls = _recorded(unguided(batch))
    x = clean.float()
    given: dict[int, torch.Tensor] = {}
    residual = torch.zeros(batch.count, device=x.device)
    with torch.inference_mode(), model.autocast():
        for run in reversed(range(first_step, len(calls))):
            x, missed = _before(model, calls[run], run, x)
            given[run] = _scaled(scheduler, run, x)
            residual = residual.maximum(missed)
    if not bool(torch.isfinite(residual).all()):
        raise NotFiniteError(f"{model.name} gave predictions that are not finite", OTHER_DTYPE)
    if not float(residual.max()) <= max(LARGEST, _LARGEST_STEPS * torch.finfo(model.dtype).eps):
        worst = batch.jobs[int(residual.nan_to_num(torch.inf).argmax())]
        what = worst.picture.path if worst.picture else f"image {worst.index}"
        raise AutointerpError(
            f"the inversion of {what} misses by {float(residual.max()):.2g} of its norm",
            "set more steps in autointerp.toml" + ("" if model.dtype == torch.float32 else ", or --dtype float32"),
        )
    noise = x / float(getattr(scheduler, "init_noise_sigma", 1.0))
    return Inversion(noise, given, residual)


def unguided(batch: Pass) -> Pass:
    """Return the pass in which the denoiser runs its conditional branch alone."""
    if not (batch.model.family.doubles or batch.branches > 1):
        return batch
    return dataclasses.replace(batch, settings=dataclasses.replace(batch.settings, guidance=1.0))


def _recorded(batch: Pass) -> list[dict[str, Any]]:
    """Record the arguments of each denoiser call of a pass, without running the denoiser."""
    calls: list[dict[str, Any]] = []

    def record(inputs: dict[str, Any]) -> Any:
        calls.append(inputs)
        return zero_answer(batch.model, inputs)

    with answering(batch.model, record), float32_steps(batch.model):
        run_pipeline(batch, stop_after=batch.steps - 1)
    return calls


def _scaled(scheduler: Any, run: int, x: torch.Tensor) -> torch.Tensor:
    """Return the denoiser's input for the sample `x`."""
    if not hasattr(scheduler, "scale_model_input"):
        return x
    scheduler._step_index = run  # Schedulers count their steps, and offer no other way to set the count.
    scaled: torch.Tensor = scheduler.scale_model_input(x, scheduler.timesteps[run])
    return scaled


def _step(scheduler: Any, run: int, answer: float, sample: float) -> float:
    """Apply the scheduler's own step to numbers."""
    scheduler._step_index = run
    # A scheduler's noise levels may lie on the device, and do not mix with a tensor of the processor.
    one = torch.ones(1, 1, device=scheduler.timesteps.device)
    return float(scheduler.step(answer * one, scheduler.timesteps[run], sample * one, return_dict=False)[0])


def _before(model: Model, inputs: dict[str, Any], run: int, later: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the latents from which the run number `run` leads to `later`, and the residual [images].

    Iterate x <- (later - b m(x)) / a with Anderson acceleration (type II), each image on its own.
    """
    scheduler = model.pipeline.scheduler
    a, b = _step(scheduler, run, 0.0, 1.0), _step(scheduler, run, 1.0, 0.0)
    family = model.family
    dtype, count = family.latents(inputs).dtype, len(later)
    norm = later.flatten(1).norm(dim=1)

    def answered(x: torch.Tensor) -> torch.Tensor:
        given = family.with_latents(inputs, _scaled(scheduler, run, x).to(dtype))
        predicted: torch.Tensor = family.prediction(model.denoiser(**given), family.sizes(given).image_tokens)
        # PixArt also predicts a variance, in channels after those of the noise.
        return predicted[:, : later.shape[1]].float()

    tolerance = max(TOLERANCE, _TOLERANCE_STEPS * torch.finfo(model.dtype).eps)
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
        if reached[-1] < tolerance or (len(reached) > _STALLED and reached[-1] > 0.9 * reached[-1 - _STALLED]):
            break
        tried = [*tried, (x.flatten(1), move)][-_RECALLED:]
        x = _mixed(tried).view(count, *later.shape[1:])
    return best, least


def _mixed(tried: Sequence[tuple[torch.Tensor, torch.Tensor]]) -> torch.Tensor:
    """Mix the next iterate [images, n] from the last ones, given as (iterate, move of the fixed-point iteration)."""
    x, move = tried[-1]
    if len(tried) == 1:
        return x + move
    xs = torch.stack([new[0] - old[0] for old, new in zip(tried, tried[1:], strict=False)], 2)
    moves = torch.stack([new[1] - old[1] for old, new in zip(tried, tried[1:], strict=False)], 2)
    # Solve least squares by slightly regularised normal equations: each image has a handful of unknowns.
    left, right = moves.mT @ moves, moves.mT @ move[:, :, None]
    if wide_dtype(x.device) != torch.float64:
        left, right = read_together(left, right)  # The processor has float64.
    left, right = left.double(), right.double()
    scale = left.diagonal(dim1=1, dim2=2).mean(1).view(-1, 1, 1)
    eye = torch.eye(left.shape[1], dtype=left.dtype, device=left.device)
    # Do not check whether it is singular: the answer would be waited for, and the regularisation rules it out.
    weights = torch.linalg.solve_ex(left + 1e-10 * scale.clamp(min=1e-30) * eye, right)[0].to(x)
    return x + move - ((xs + moves) @ weights)[:, :, 0]
