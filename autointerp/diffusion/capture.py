"""Reading activations while a pipeline generates: hooks that check what they see and are always removed.

A hook that guesses wrong would fill a dictionary with the wrong tensor and nobody would notice. So everything that
is assumed of a call (which step, which branch, how many tokens, how wide) is checked against the call itself, and
what does not fit raises.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.generation import steps_of_calls
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.generation import ImageJob
    from autointerp.diffusion.loading import Model

UNSUPPORTED = "this version of diffusers is not supported; install the one in constraints.txt"


@dataclass(frozen=True)
class Captured:
    """One layer's activations at one step, for every image of a batch.

    `acts`: float32 [batch, tokens, d_in], tokens row by row, on the model's device; it may share memory with the
    running model, so it is valid only while the consumer runs, and must not be written to. `step` is 0-based;
    `timestep` is the scheduler's value. `grid` is (rows, cols) of the tokens of this batch: the layer's own is that of
    the run's size.
    """

    layer: Layer
    step: int
    timestep: float
    jobs: tuple[ImageJob, ...]
    acts: torch.Tensor
    grid: tuple[int, int]


Consumer = Callable[[Captured], None]


@functools.cache
def _parameters(forward: Callable[..., Any]) -> tuple[str, ...]:
    """Names of a method's parameters; looking them up costs more than a small module's run."""
    return tuple(inspect.signature(forward).parameters)[1:]


def named(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A call's arguments by name, however they were passed."""
    # Of the class: an instance's `forward` may be wrapped while we watch.
    return {**dict(zip(_parameters(type(module).forward), args, strict=False)), **kwargs}


def denoised(inputs: Mapping[str, Any]) -> torch.Tensor:
    """What a denoiser's call is about, of its arguments: the noised latents, packed or not."""
    found: torch.Tensor = inputs["hidden_states"] if "hidden_states" in inputs else inputs["sample"]
    return found


class Calls:
    """Follows the denoiser: which step and branch its present call is, and how many tokens that call has.

    `step` is -1 in a call that only corrects the step before, see `steps_of_calls`. `batch` is the number of rows of
    the call: guidance may have doubled the `count` images, then the conditional ones are the last.
    """

    def __init__(self, model: Model, steps: int, branches: int, count: int) -> None:
        self.model, self.steps, self.branches, self.count = model, steps, branches, count
        self.calls, self.plan, self.timesteps = 0, [-1], [0.0]
        self.step, self.run, self.conditional, self.timestep = -1, -1, False, 0.0
        self.text_tokens, self.image_tokens, self.batch = 0, 0, 0

    def before(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The denoiser's pre-hook.

        Raises:
            AutointerpError: It is called in another way than is known of its family.
        """
        inputs, family = named(module, args, kwargs), self.model.family
        scheduled = self.model.pipeline.scheduler.timesteps
        if not self.calls:
            # Read once: on an accelerator each number would wait for all that is under way.
            self.timesteps = [float(t) for t in torch.as_tensor(scheduled).tolist()]
            self.plan = steps_of_calls(self.timesteps, self.steps)
        self.run, branch = divmod(self.calls, self.branches)
        self.calls += 1
        if self.run >= len(self.plan) or len(scheduled) != len(self.plan):
            raise AutointerpError("the pipeline ran its denoiser more often than its steps say", UNSUPPORTED)
        self.step, self.timestep = self.plan[self.run], self.timesteps[self.run]
        self.conditional = branch == 0 and self.step >= 0
        raw = inputs["timestep"]
        told = float(raw.flatten()[0] if isinstance(raw, torch.Tensor) else raw)
        # In half precision the denoiser is told a rounded timestep.
        near = 0.01 * abs(self.timestep) + 1e-3
        if all(abs(told * scale - self.timestep) > near for scale in family.timestep_scales):
            raise AutointerpError(
                f"call {self.run} of the denoiser ran at timestep {told * family.timestep_scales[0]:g}, "
                f"not {self.timestep:g}",
                "a guidance of 1 may do" if family.open else UNSUPPORTED,
            )
        hidden, text = denoised(inputs), inputs.get("encoder_hidden_states")
        self.batch = hidden.shape[0]
        if self.batch != self.count and not (family.doubles and self.batch == 2 * self.count):
            raise AutointerpError(
                f"the denoiser ran a batch of {self.batch} for {self.count} images", "a guidance of 1 may do"
            )
        self.text_tokens = text.shape[1] if isinstance(text, torch.Tensor) and text.ndim == 3 else 0
        self.image_tokens = hidden.shape[1] if hidden.ndim == 3 else 0


def layer_acts(
    model: Model, layer: Layer, calls: Calls, inputs: dict[str, Any], output: Any
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """What went into a layer's module (None where its shape differs), and what came out of it.

    Both [rows of the call, tokens, d_in], of the layer's stream alone, of both branches where the call has both.

    Raises:
        AutointerpError: The tensors are not of the layer's shape, or it has no such signal.
    """
    rows, cols = layer.grid
    if layer.stream == "text":
        if calls.text_tokens != cols:
            raise AutointerpError(
                f"the text of this call has {calls.text_tokens} tokens, not the {cols} of {layer.hookpoint}",
                "resolve the layer for the max_sequence_length that is generated with",
            )
        image_tokens = calls.image_tokens
    else:
        image_tokens = calls.image_tokens or rows * cols
    before, after = model.family.tokens(layer.stream)(inputs, output, calls.text_tokens, image_tokens)
    if layer.signal == "update" and before is None:
        raise AutointerpError(f"{layer.hookpoint} has no update", 'set signal = "output" in autointerp.toml')
    expected = (calls.batch, rows * cols, layer.d_in)
    if tuple(after.shape) != expected:
        raise AutointerpError(
            f"{layer.hookpoint} gave activations of shape {tuple(after.shape)}, not {expected}",
            "resolve the layer for the size that is generated",
        )
    return before, after


@contextmanager
def capture(
    model: Model,
    jobs: Sequence[ImageJob],
    layers: Sequence[Layer],
    capture_steps: Collection[int],
    consumer: Consumer,
    steps: int,
    branches: int,
    grids: Sequence[tuple[int, int]],
) -> Iterator[None]:
    """Hand the consumer every wanted layer at every wanted step of the one generation that runs inside.

    Tokens of the layer's stream, of the conditional branch alone. Hooks are gone afterwards, whatever happened.

    Args:
        model: The model that generates.
        jobs: The images of the batch, in the pipeline's order.
        layers: What to read; several are read in the same pass.
        capture_steps: 0-based steps.
        consumer: Called while the model runs, in the order of the steps and of the model's depth.
        steps: Denoising steps of the generation.
        branches: Denoiser runs a step, the conditional one first.
        grids: Of each layer, (rows, cols) of its tokens in pictures of the batch's size.

    Raises:
        AutointerpError: The pipeline did not do what is known of its family, or a wanted tensor never came.
    """
    calls = Calls(model, steps, branches, len(jobs))
    seen: set[tuple[Layer, int]] = set()
    wanted = set(capture_steps)

    def hook_of(layer: Layer, grid: tuple[int, int]) -> Callable[..., None]:
        here = replace(layer, grid=grid)

        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if not calls.conditional or calls.step not in wanted:
                return
            before, after = layer_acts(model, here, calls, named(module, args, kwargs), output)
            acts = after[-len(jobs) :]  # Where guidance doubles the batch, the conditional half is the last.
            if layer.signal == "update" and before is not None:
                acts = acts - before[-len(jobs) :]
            key = (layer, calls.step)
            if key in seen:
                raise AutointerpError(f"{layer.hookpoint} ran twice in step {calls.step}", UNSUPPORTED)
            seen.add(key)
            # Before the cast, which doubles what is to be read; the sum of half precision would overflow.
            if not torch.isfinite(acts.sum(dtype=torch.float32)):
                raise AutointerpError(
                    f"{layer.hookpoint} gave activations that are no numbers at step {calls.step}",
                    "use --dtype bfloat16 or float32",
                )
            consumer(Captured(layer, calls.step, calls.timestep, tuple(jobs), acts.detach().float(), grid))

        return hook

    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(calls.before, with_kwargs=True))
        for layer, grid in zip(layers, grids, strict=True):
            module = model.module(layer.hookpoint)
            handles.append(module.register_forward_hook(hook_of(layer, grid), with_kwargs=True))
        yield
        missing = len(layers) * len(wanted) - len(seen)
        if missing:
            raise AutointerpError(f"{missing} of the wanted activations never came", UNSUPPORTED)
    finally:
        for handle in handles:
            handle.remove()
