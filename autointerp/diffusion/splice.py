"""Putting something else in the place of a layer's activations while a model runs, and what that does to it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.capture import UNSUPPORTED, Calls, layer_acts
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

Replacement = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [batch, tokens, d_in], denoising step) -> what stands in their place, of the same shape."""


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


@contextmanager
def splice(
    model: Model, layer: Layer, replacement: Replacement, steps: Collection[int], count: int, total: int, branches: int
) -> Iterator[None]:
    """Replace a layer's image tokens at some steps of the one generation that runs inside, conditional branch alone.

    Args:
        model: The model that generates.
        layer: Where; for the signal `update` what the block adds is replaced.
        replacement: What stands there instead.
        steps: 0-based steps at which it does.
        count: Images of the batch.
        total: Denoising steps of the generation.
        branches: Denoiser runs a step, the conditional one first.

    Raises:
        AutointerpError: The pipeline did not do what is known of its family.
    """
    calls = Calls(model, total, branches)
    module = model.module(layer.hookpoint)
    parameters = list(inspect.signature(module.forward).parameters)

    def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
        if not calls.conditional or calls.step not in steps:
            return None
        inputs = {**dict(zip(parameters, args, strict=False)), **kwargs}
        before: Any
        before, acts = layer_acts(model, layer, calls, inputs, output, count)
        new = replacement(acts.float(), calls.step).to(acts.dtype)
        # An update has a before, or `layer_acts` would have refused.
        return model.family.put_image_tokens(output, new if layer.signal == "output" else before + new)

    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(calls.before, with_kwargs=True))
        handles.append(module.register_forward_hook(hook, with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


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
        AutointerpError: The model's scheduler is not one of flow matching.
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
        given = answer(kwargs)
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

    def first(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not noise:
            noise.append(kwargs["hidden_states"].float().clone())

    def keep(module: torch.nn.Module, args: Any, output: Any) -> None:
        if len(answers) < first_step * branches:
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
    with _answering(model, lambda kwargs: next(answers, None)), _running(model, batch, settings, where, steps) as given:
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
    calls = Calls(model, settings.steps, branches)
    found = torch.zeros(len(batch), dtype=torch.float64)

    def counts() -> bool:
        return calls.conditional and calls.step in steps

    def put(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        calls.before(module, args, kwargs)
        if not counts():
            return None
        sigma = _sigma(model, calls.step)
        noised = (1 - sigma) * plain.clean + sigma * plain.noise
        return args, {**kwargs, "hidden_states": noised.to(kwargs["hidden_states"].dtype)}

    def answer(kwargs: dict[str, Any]) -> Any:
        # Where nothing is measured, anything will do: the inputs of what is measured are put there.
        return None if counts() else (torch.zeros_like(kwargs["hidden_states"]),)

    def compare(module: torch.nn.Module, args: Any, output: Any) -> None:
        if counts():
            missed = (output[0].float() - (plain.noise - plain.clean)).square().flatten(1).mean(1)
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


def _sigma(model: Model, step: int) -> float:
    """Share of noise at a step, of a flow-matching scheduler: x = (1 - sigma) clean + sigma noise."""
    scheduler = model.pipeline.scheduler
    if not hasattr(scheduler, "scale_noise") or not hasattr(scheduler, "sigmas"):
        raise AutointerpError(f"no denoising error is known for {type(scheduler).__name__}", UNSUPPORTED)
    return float(scheduler.sigmas[step])
