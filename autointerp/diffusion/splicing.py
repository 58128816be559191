"""Measure edits: what a model loses, in denoising error and in pictures, when activations are replaced."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.calls import Calls
from autointerp.diffusion.editing import editing
from autointerp.diffusion.edits import Edit
from autointerp.diffusion.families import NoDenoisingError
from autointerp.diffusion.finite import OTHER_DTYPE, NotFiniteError
from autointerp.diffusion.jobs import GenerationSettings, ImageJob, batched, check_capture_steps
from autointerp.diffusion.noising import answering, denoising_at, matches_flow, noised, of_unit_scale
from autointerp.diffusion.passes import Pass
from autointerp.diffusion.real import check_shape, encode_pictures, load_batch
from autointerp.diffusion.running import float32_steps, run_pipeline

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.diffusion.model import Model

UNCHANGED = "unchanged"
"""The name under which results of the unchanged model stand."""


@dataclass(frozen=True)
class SplicedImages:
    """Results of a batch of images, under the name of each edit and under `UNCHANGED`.

    Attributes:
        errors: Denoising errors, float64 [images]: the mean squared distance of the model's prediction from its target,
            at noised versions of the unchanged images, averaged over the edited steps.
        pictures: The generated pictures; none where the batch is of real pictures, which are noised themselves.
    """

    errors: Mapping[str, torch.Tensor]
    pictures: Mapping[str, Sequence[Image.Image]]


def splice_images(
    model: Model,
    jobs: Sequence[ImageJob],
    settings: GenerationSettings,
    edits: Mapping[str, Edit],
    steps: Collection[int],
    batch_size: int = 16,
) -> Iterator[tuple[list[ImageJob], SplicedImages]]:
    """Generate images unchanged and under each edit, with the denoising error of each.

    The error needs clean images: real pictures, or the images that the unchanged model generates. Each is noised, with
    the noise that it was or would be generated from, to the level of each of the steps, and the model predicts there.
    So all edits are compared at the same inputs.

    Args:
        model: A loaded model.
        jobs: The images.
        settings: Settings of the run.
        edits: The edits by name, each measured alone; their own steps do not count.
        steps: 0-based steps at which the edits happen, and at which errors are measured.
        batch_size: Images a batch.

    Raises:
        NoDenoisingError: The target of the model's prediction is not known for its scheduler.
    """
    wanted = check_capture_steps(steps, settings.steps)
    placed = {name: dataclasses.replace(edit, steps=wanted) for name, edit in edits.items()}
    for some in batched(jobs, batch_size):
        batch = Pass(model, tuple(some), settings.of(some[0]))
        real = batch.jobs[0].picture is not None
        plain = _read(batch) if real else _generate(batch, wanted[0])
        errors = {UNCHANGED: _error(batch, wanted, plain, None)}
        pictures: dict[str, Sequence[Image.Image]] = {UNCHANGED: plain.pictures}
        for name, edit in placed.items():
            errors[name] = _error(batch, wanted, plain, edit)
            pictures[name] = () if real else _pictures(batch, plain, edit)
        yield some, SplicedImages(errors, pictures)


@dataclass(frozen=True)
class _PlainBatch:
    """A batch of the unchanged model.

    Attributes:
        clean: The clean latents.
        pictures: The generated pictures; none of real ones.
        answers: The denoiser's outputs before the first edited step, which are the same under every edit.
    """

    clean: torch.Tensor
    pictures: Sequence[Image.Image]
    answers: Sequence[Any]


@contextmanager
def _edited(batch: Pass, edit: Edit | None) -> Iterator[None]:
    """Make the edit, if any, in the generation that runs inside."""
    with float32_steps(batch.model), nullcontext() if edit is None else editing(batch, [edit]):
        yield


def _read(batch: Pass) -> _PlainBatch:
    """Encode the real pictures of a batch."""
    return _PlainBatch(encode_pictures(batch.model, load_batch(batch)), (), ())


def _generate(batch: Pass, first_step: int) -> _PlainBatch:
    """Generate a batch unchanged; keep the denoiser's outputs before `first_step`."""
    latents: list[torch.Tensor] = []
    answers: list[Any] = []
    calls = Calls(batch)
    reached = False

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal reached
        calls.before(module, args, kwargs)
        reached = reached or calls.step == first_step

    def keep(_module: torch.nn.Module, _args: Any, output: Any) -> None:
        if not reached:
            answers.append(output)

    def after_step(_run: int, after: torch.Tensor) -> None:
        latents[:] = [of_unit_scale(batch.model.pipeline.scheduler, after.float()).clone()]

    denoiser = batch.model.denoiser
    handles = [denoiser.register_forward_pre_hook(before, with_kwargs=True), denoiser.register_forward_hook(keep)]
    try:
        with _edited(batch, None):
            pictures = run_pipeline(batch, after_step=after_step)
        calls.check()
    finally:
        for handle in handles:
            handle.remove()
    return _PlainBatch(latents[0], pictures, answers)


def _pictures(batch: Pass, plain: _PlainBatch, edit: Edit) -> Sequence[Image.Image]:
    """Generate the batch under an edit; steps before the edit are not computed again."""
    answers = iter(plain.answers)
    with answering(batch.model, lambda _inputs: next(answers, None)), _edited(batch, edit):
        return run_pipeline(batch)


def _error(batch: Pass, steps: Sequence[int], plain: _PlainBatch, edit: Edit | None) -> torch.Tensor:
    """Return the denoising error of each image at its noised latents, float64 [batch]."""
    model, count = batch.model, batch.count
    total = torch.zeros(count, dtype=torch.float64)
    drawn: list[torch.Tensor] = []

    def at(run: int, noise: torch.Tensor) -> torch.Tensor:
        check_shape(model, plain.clean, noise)
        drawn[:] = [noise]
        return noised(model, run, plain.clean, noise)

    with denoising_at(batch, steps, at) as calls:

        def compare(_module: torch.nn.Module, _args: Any, output: Any) -> None:
            if calls.conditional and calls.step in steps:
                target = _target(model, calls.run, plain.clean, drawn[0])
                # PixArt also predicts a variance, in channels after those of the noise.
                predicted = model.family.prediction(output, calls.image_tokens)
                predicted = predicted[calls.rows, : target.shape[1]].float()
                missed = (predicted - target).square().flatten(1).mean(1)
                total.add_(missed.cpu().double() / len(steps))

        handle = model.denoiser.register_forward_hook(compare)
        try:
            with _edited(batch, edit):
                run_pipeline(batch, stop_after=max(steps))
        finally:
            handle.remove()
    if not bool(torch.isfinite(total).all()):
        raise NotFiniteError(f"{model.name} gave predictions that are not finite", OTHER_DTYPE)
    return total


def _target(model: Model, run: int, clean: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Return the target of the denoiser's prediction at a run.

    Raises:
        NoDenoisingError: The target is not known for the scheduler.
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
            # Use the variance-preserving form that the network was trained in; the scheduler may integrate another.
            kept = float(scheduler.alphas_cumprod[int(scheduler.timesteps[run])])
            return kept**0.5 * noise - (1 - kept) ** 0.5 * clean
    raise NoDenoisingError(
        f"no denoising error is known for {type(scheduler).__name__} with the prediction {predicts!r}",
        "use a model with a scheduler of flow matching, or of DDPM's kind",
    )
