"""Putting something else in the place of a layer's activations while a model runs, and what that does to it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.capture import Calls
from autointerp.diffusion.edit import Edit, Function, edit, replace
from autointerp.diffusion.generation import (
    GenerationSettings,
    ImageJob,
    batched,
    check_capture_steps,
    float32_steps,
    run_pipeline,
)
from autointerp.diffusion.layers import Layer, layer_at
from autointerp.diffusion.noising import answering, denoising_at, matches_flow, noised
from autointerp.diffusion.pictures import load_picture
from autointerp.diffusion.real import check_shape, encode_pictures
from autointerp.diffusion.sizes import sides
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
    the images that it generates; none where the batch is of real pictures, which themselves are noised.
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

    The error needs clean images. Those are real pictures, or the model's own, where it generates: each is noised with
    the noise that it was or would be generated from, to the level of each of the `steps`, and the model is asked
    there. So all splices are compared at the same inputs.

    Raises:
        AutointerpError: What the model predicts is not known of its scheduler.
    """
    wanted = check_capture_steps(steps, settings.steps)
    for batch in batched(jobs, batch_size):
        how = settings.of(batch[0])
        real = batch[0].picture is not None
        plain = _real(model, batch, how) if real else _unchanged(model, batch, how, wanted[0])
        errors = {UNCHANGED: _error(model, batch, how, wanted, plain, None)}
        generated: dict[str, Sequence[Image.Image]] = {UNCHANGED: plain.pictures}
        for name, (layer, replacement) in spliced.items():
            where = (layer_at(model, layer, how.size), replacement)
            errors[name] = _error(model, batch, how, wanted, plain, where)
            generated[name] = () if real else _pictures(model, batch, how, wanted, plain, where)
        yield batch, Spliced(errors, generated)


@dataclass(frozen=True)
class _Unchanged:
    """A batch as it is generated: final latents, pictures, and the denoiser's first answers.

    The answers are those before the first step that is spliced: they are the same under every splice.
    """

    clean: torch.Tensor
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


def _real(model: Model, batch: Sequence[ImageJob], settings: GenerationSettings) -> _Unchanged:
    pictures = [load_picture(job, sides(settings.size)) for job in batch]
    return _Unchanged(encode_pictures(model, pictures), (), ())


def _unchanged(model: Model, batch: Sequence[ImageJob], settings: GenerationSettings, first_step: int) -> _Unchanged:
    latents: list[torch.Tensor] = []
    answers: list[Any] = []
    _, branches = model.family.call(model.configs, settings.guidance, len(batch))
    calls = Calls(model, settings.steps, branches, len(batch))
    reached = False

    def first(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal reached
        calls.before(module, args, kwargs)
        reached = reached or calls.step == first_step

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
    return _Unchanged(latents[0], pictures, answers)


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
    with answering(model, lambda inputs: next(answers, None)), _running(model, batch, settings, where, steps) as given:
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
    found = torch.zeros(len(batch), dtype=torch.float64)
    drawn: list[torch.Tensor] = []

    def at(run: int, noise: torch.Tensor) -> torch.Tensor:
        check_shape(model, plain.clean, noise)
        drawn[:] = [noise]
        return noised(model, run, plain.clean, noise)

    with denoising_at(model, len(batch), settings.steps, branches, steps, at) as calls:

        def compare(module: torch.nn.Module, args: Any, output: Any) -> None:
            if calls.conditional and calls.step in steps:
                target = _target(model, calls.run, plain.clean, drawn[0])
                # PixArt predicts a variance beside the noise, in channels of its own.
                predicted = output[0][-len(batch) :, : target.shape[1]].float()
                missed = (predicted - target).square().flatten(1).mean(1)
                found.add_(missed.double().cpu() / len(steps))

        handle = model.denoiser.register_forward_hook(compare)
        try:
            with _running(model, batch, settings, where, steps) as arguments:
                run_pipeline(model, batch, settings, arguments, stop_after=max(steps))
        finally:
            handle.remove()
    return found


def _target(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the denoiser should predict there.

    Raises:
        AutointerpError: What it predicts is not known of the scheduler.
    """
    scheduler = model.pipeline.scheduler
    predicts = scheduler.config.get("prediction_type")
    if matches_flow(scheduler) or predicts == "flow_prediction":
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
