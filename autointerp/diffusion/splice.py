"""Putting something else in the place of a layer's activations while a model runs, and what that does to it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.capture import Calls, denoised, named
from autointerp.diffusion.edit import Edit, Function, edit, replace
from autointerp.diffusion.generation import (
    GenerationSettings,
    ImageJob,
    batched,
    check_capture_steps,
    float32_steps,
    run_pipeline,
)
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.loading import Model

Replacement = Function
"""(activations float32 [batch, tokens, d_in], denoising step) -> what stands in their place, of the same shape."""


class NoDenoisingError(AutointerpError):
    """What the model should predict is not known for its scheduler."""


def zeroed(acts: torch.Tensor, step: int) -> torch.Tensor:
    """Zero-ablation: an `update` is left out, an `output` is nothing."""
    del step
    return torch.zeros_like(acts)


@dataclass(frozen=True)
class Spliced:
    """What a batch of images came to, under each name that was asked for and under `unchanged`.

    `errors` are the denoising errors, float64 [images]: the mean squared distance of what the model predicts from
    what it should, at noised versions of its own unchanged images, over the steps that were spliced. `pictures` are
    the images that it generates.
    """

    errors: Mapping[str, torch.Tensor]
    pictures: Mapping[str, Sequence[Image.Image]]


UNCHANGED = "unchanged"


def splice(
    model: Model, layer: Layer, replacement: Replacement, steps: Collection[int], count: int, total: int, branches: int
) -> AbstractContextManager[None]:
    """Replace a layer's tokens at some steps of the one generation that runs inside, conditional branch alone.

    The rest is as in `edit`. For the signal `update` what the block adds is replaced.
    """
    return edit(model, [Edit(layer, replace(replacement), steps)], count, total, branches)


def splice_images(
    model: Model,
    jobs: Sequence[ImageJob],
    settings: GenerationSettings,
    spliced: Mapping[str, tuple[Layer, Replacement]],
    steps: Collection[int],
    batch_size: int = 16,
) -> Iterator[tuple[list[ImageJob], Spliced]]:
    """Generate images unchanged and under each splice, with the denoising error of each.

    The error needs clean images, and the model's own are all there are: each is noised with the noise that it was
    generated from, to the level of each of the `steps`, and the model is asked there. So all splices are compared at
    the same inputs.

    Raises:
        AutointerpError: What the model predicts is not known of its scheduler.
    """
    wanted = check_capture_steps(steps, settings.steps)
    for batch in batched(jobs, batch_size):
        plain = _unchanged(model, batch, settings, wanted[0])
        errors = {UNCHANGED: _error(model, batch, settings, wanted, plain, None)}
        generated: dict[str, Sequence[Image.Image]] = {UNCHANGED: plain.pictures}
        for name, where in spliced.items():
            errors[name] = _error(model, batch, settings, wanted, plain, where)
            generated[name] = _pictures(model, batch, settings, wanted, plain, where)
        yield batch, Spliced(errors, generated)


@dataclass(frozen=True)
class _Unchanged:
    """A batch as it is generated: final latents, the noise it began with, pictures, and the denoiser's first answers.

    The answers are those before the first step that is spliced: they are the same under every splice.
    """

    clean: torch.Tensor
    noise: torch.Tensor
    pictures: Sequence[Image.Image]
    answers: Sequence[Any]


@contextmanager
def _running(
    model: Model,
    batch: Sequence[ImageJob],
    settings: GenerationSettings,
    where: tuple[Layer, Replacement] | None,
    steps: Collection[int],
) -> Iterator[dict[str, Any]]:
    """The model with a splice on it, or without; yields the pipeline's arguments."""
    arguments, branches = model.family.call(model.configs, settings.guidance, len(batch))
    with ExitStack() as stack:
        stack.enter_context(float32_steps(model))
        if where is not None:
            stack.enter_context(splice(model, *where, steps, len(batch), settings.steps, branches))
        yield arguments


@contextmanager
def _answering(model: Model, answer: Callable[[dict[str, Any]], Any]) -> Iterator[None]:
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


def _unchanged(model: Model, batch: Sequence[ImageJob], settings: GenerationSettings, first_step: int) -> _Unchanged:
    noise: list[torch.Tensor] = []
    latents: list[torch.Tensor] = []
    answers: list[Any] = []
    _, branches = model.family.call(model.configs, settings.guidance, len(batch))
    calls = Calls(model, settings.steps, branches, len(batch))
    reached = False

    def first(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal reached
        calls.before(module, args, kwargs)
        reached = reached or calls.step == first_step
        if not noise:
            latents = denoised(named(module, args, kwargs))[-len(batch) :].float()
            noise.append(latents / _scale_at_start(model))

    def keep(module: torch.nn.Module, args: Any, output: Any) -> None:
        if not reached:
            answers.append(output)

    def last(step: int, state: dict[str, Any]) -> None:
        latents[:] = [state["latents"].float().clone()]

    handles = [
        model.denoiser.register_forward_pre_hook(first, with_kwargs=True),
        model.denoiser.register_forward_hook(keep),
    ]
    try:
        with _running(model, batch, settings, None, ()) as arguments:
            pictures = run_pipeline(model, batch, settings, arguments, after_step=last)
    finally:
        for handle in handles:
            handle.remove()
    return _Unchanged(latents[0], noise[0], pictures, answers)


def _pictures(
    model: Model,
    batch: Sequence[ImageJob],
    settings: GenerationSettings,
    steps: Sequence[int],
    plain: _Unchanged,
    where: tuple[Layer, Replacement],
) -> Sequence[Image.Image]:
    """The batch as it is generated under a splice; what comes before the splice is not computed again."""
    answers = iter(plain.answers)
    with _answering(model, lambda inputs: next(answers, None)), _running(model, batch, settings, where, steps) as given:
        return run_pipeline(model, batch, settings, given)


def _error(
    model: Model,
    batch: Sequence[ImageJob],
    settings: GenerationSettings,
    steps: Sequence[int],
    plain: _Unchanged,
    where: tuple[Layer, Replacement] | None,
) -> torch.Tensor:
    """Denoising error of each image, float64 [batch], at its noised latents."""
    _, branches = model.family.call(model.configs, settings.guidance, len(batch))
    calls = Calls(model, settings.steps, branches, len(batch))
    found = torch.zeros(len(batch), dtype=torch.float64)

    def counts() -> bool:
        return calls.conditional and calls.step in steps

    def put(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls.before(module, args, kwargs)
        if not counts():
            return None
        inputs = named(module, args, kwargs)
        old = denoised(inputs)
        noised = _noised(model, calls.run, plain.clean, plain.noise).to(old.dtype)
        key = "hidden_states" if "hidden_states" in inputs else "sample"
        # The other branch is run at the same latents, as the pipeline does.
        return (), {**inputs, key: torch.cat([noised] * (old.shape[0] // len(batch)))}

    def answer(inputs: dict[str, Any]) -> Any:
        # Where nothing is measured, anything will do: the inputs of what is measured are put there.
        if counts():
            return None
        old = denoised(inputs)
        sizes: Any = model.denoiser.config
        channels = sizes.get("out_channels") if old.ndim == 4 else None
        return (old.new_zeros(old.shape[0], channels or old.shape[1], *old.shape[2:]),)

    def compare(module: torch.nn.Module, args: Any, output: Any) -> None:
        if counts():
            target = _target(model, calls.run, plain.clean, plain.noise)
            # PixArt predicts a variance beside the noise, in channels of its own.
            predicted = output[0][-len(batch) :, : target.shape[1]].float()
            missed = (predicted - target).square().flatten(1).mean(1)
            found.add_(missed.double().cpu() / len(steps))

    handles = [
        model.denoiser.register_forward_pre_hook(put, with_kwargs=True),
        model.denoiser.register_forward_hook(compare),
    ]
    try:
        with _answering(model, answer), _running(model, batch, settings, where, steps) as arguments:
            run_pipeline(model, batch, settings, arguments, stop_after=max(steps))
    finally:
        for handle in handles:
            handle.remove()
    return found


def _matches_flow(scheduler: Any) -> bool:
    return hasattr(scheduler, "scale_noise") and hasattr(scheduler, "sigmas")


def _scale_at_start(model: Model) -> float:
    """What the noise was multiplied by before the denoiser's first run got it."""
    scheduler = model.pipeline.scheduler
    scale = float(getattr(scheduler, "init_noise_sigma", 1.0))
    if hasattr(scheduler, "scale_model_input"):
        scale *= float(scheduler.scale_model_input(torch.ones(1), scheduler.timesteps[0]))
    return scale


def _noised(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the denoiser gets at its run number `run` for clean latents with this noise."""
    scheduler = model.pipeline.scheduler
    if _matches_flow(scheduler):
        sigma = float(scheduler.sigmas[run])
        return (1 - sigma) * clean + sigma * noise
    timestep = scheduler.timesteps[run]
    noised: torch.Tensor = scheduler.add_noise(clean, noise, timestep.reshape(1).expand(len(clean)))
    return scheduler.scale_model_input(noised, timestep) if hasattr(scheduler, "scale_model_input") else noised


def _target(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the denoiser should predict there.

    Raises:
        AutointerpError: What it predicts is not known of the scheduler.
    """
    scheduler = model.pipeline.scheduler
    predicts = scheduler.config.get("prediction_type")
    if _matches_flow(scheduler) or predicts == "flow_prediction":
        return noise - clean
    if hasattr(scheduler, "add_noise"):
        if predicts == "epsilon":
            return noise
        if predicts == "sample":
            return clean
        if predicts == "v_prediction" and hasattr(scheduler, "alphas_cumprod"):
            # Of the variance-preserving form that the network was trained in, whatever the scheduler integrates.
            kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[run])])
            return kept**0.5 * noise - (1 - kept) ** 0.5 * clean
    raise NoDenoisingError(
        f"no denoising error is known for {type(scheduler).__name__} with the prediction {predicts!r}",
        "use a model with a scheduler of flow matching, or of DDPM's kind",
    )
