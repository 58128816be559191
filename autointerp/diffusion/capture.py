"""Reading activations while a pipeline generates: hooks that check what they see and are always removed.

A hook that guesses wrong would fill a dictionary with the wrong tensor and nobody would notice. So everything that
is assumed of a call (which step, which branch, how many tokens, how wide) is checked against the call itself, and
what does not fit raises.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

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
    `timestep` is the scheduler's value.
    """

    layer: Layer
    step: int
    timestep: float
    jobs: tuple[ImageJob, ...]
    acts: torch.Tensor


Consumer = Callable[[Captured], None]


class Calls:
    """Follows the denoiser: which step and branch its present call is, and how many tokens that call has."""

    def __init__(self, model: Model, steps: int, branches: int) -> None:
        self.model, self.steps, self.branches = model, steps, branches
        self.count = 0
        self.step, self.conditional, self.timestep = -1, False, 0.0
        self.text_tokens, self.image_tokens = 0, 0

    def before(self, module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The denoiser's pre-hook.

        Raises:
            AutointerpError: It is called in another way than is known of its family.
        """
        step, branch = divmod(self.count, self.branches)
        self.count += 1
        timesteps = self.model.pipeline.scheduler.timesteps
        if step >= self.steps or len(timesteps) != self.steps:
            raise AutointerpError("the pipeline ran its denoiser more often than its steps say", UNSUPPORTED)
        self.step, self.conditional, self.timestep = step, branch == 0, float(timesteps[step])
        told = float(kwargs["timestep"].flatten()[0]) * self.model.family.timestep_scale
        # In half precision the denoiser is told a rounded timestep.
        if abs(told - self.timestep) > 0.01 * abs(self.timestep) + 1e-3:
            raise AutointerpError(f"step {step} ran at timestep {told:g}, not {self.timestep:g}", UNSUPPORTED)
        self.text_tokens = kwargs["encoder_hidden_states"].shape[1]
        self.image_tokens = kwargs["hidden_states"].shape[1]


def layer_acts(
    model: Model, layer: Layer, calls: Calls, inputs: dict[str, Any], output: Any, count: int
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """What went into a layer's module (None where its width differs), and the layer's signal of what came out.

    Both [count, tokens, d_in], image tokens alone.

    Raises:
        AutointerpError: The tensors are not of the layer's shape, or it has no such signal.
    """
    before, after = model.family.image_tokens(inputs, output, calls.text_tokens, calls.image_tokens)
    if layer.signal == "update" and before is None:
        raise AutointerpError(f"{layer.hookpoint} has no update", "read its output: --signal output")
    acts = after - before if layer.signal == "update" else after
    rows, cols = layer.grid
    expected = (count, rows * cols, layer.d_in)
    if tuple(acts.shape) != expected:
        raise AutointerpError(
            f"{layer.hookpoint} gave activations of shape {tuple(acts.shape)}, not {expected}",
            "resolve the layer for the size that is generated",
        )
    return before, acts


@contextmanager
def capture(
    model: Model,
    jobs: Sequence[ImageJob],
    layers: Sequence[Layer],
    capture_steps: Collection[int],
    consumer: Consumer,
    steps: int,
    branches: int,
) -> Iterator[None]:
    """Hand the consumer every wanted layer at every wanted step of the one generation that runs inside.

    Image tokens of the conditional branch alone. Hooks are gone afterwards, whatever happened.

    Args:
        model: The model that generates.
        jobs: The images of the batch, in the pipeline's order.
        layers: What to read; several are read in the same pass.
        capture_steps: 0-based steps.
        consumer: Called while the model runs, in the order of the steps and of the model's depth.
        steps: Denoising steps of the generation.
        branches: Denoiser runs a step, the conditional one first.

    Raises:
        AutointerpError: The pipeline did not do what is known of its family, or a wanted tensor never came.
    """
    calls = Calls(model, steps, branches)
    seen: set[tuple[str, str, int]] = set()
    wanted = set(capture_steps)

    def hook_of(layer: Layer, parameters: list[str]) -> Callable[..., None]:
        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if not calls.conditional or calls.step not in wanted:
                return
            inputs = {**dict(zip(parameters, args, strict=False)), **kwargs}
            _, acts = layer_acts(model, layer, calls, inputs, output, len(jobs))
            key = (layer.hookpoint, layer.signal, calls.step)
            if key in seen:
                raise AutointerpError(f"{layer.hookpoint} ran twice in step {calls.step}", UNSUPPORTED)
            seen.add(key)
            acts = acts.detach().float()
            if not torch.isfinite(acts.sum()):
                raise AutointerpError(
                    f"{layer.hookpoint} gave activations that are no numbers at step {calls.step}",
                    "use --dtype bfloat16 or float32",
                )
            consumer(Captured(layer, calls.step, calls.timestep, tuple(jobs), acts))

        return hook

    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(calls.before, with_kwargs=True))
        for layer in layers:
            module = model.module(layer.hookpoint)
            parameters = list(inspect.signature(module.forward).parameters)
            handles.append(module.register_forward_hook(hook_of(layer, parameters), with_kwargs=True))
        yield
        missing = len(layers) * len(wanted) - len(seen)
        if missing:
            raise AutointerpError(f"{missing} of the wanted activations never came", UNSUPPORTED)
    finally:
        for handle in handles:
            handle.remove()
