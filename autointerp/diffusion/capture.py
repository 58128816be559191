"""Read activations during a pass, by hooks that check what they see and that are always removed.

A hook that guesses wrong would fill a dictionary with the wrong tensor unnoticed. So every assumption about a call (its
step, its branch, its number of tokens, its width) is checked against the call itself, and a mismatch raises an error.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.reading import read_together
from autointerp.diffusion.arguments import named
from autointerp.diffusion.calls import UNSUPPORTED, Calls, reads_freely
from autointerp.diffusion.dry_run import check_layer
from autointerp.diffusion.finite import OTHER_DTYPE, FiniteFlags, NotFiniteError
from autointerp.diffusion.layers import Layer, layer_at
from autointerp.diffusion.text_masks import fitted, text_mask
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.families import CallSizes
    from autointerp.diffusion.jobs import ImageJob
    from autointerp.diffusion.model import Model
    from autointerp.diffusion.passes import Pass
    from autointerp.diffusion.word_maps import WordRequest


@dataclass(frozen=True)
class LayerActivations:
    """One layer's activations at one step, for every image of a batch.

    Attributes:
        layer: The layer, as it was asked for: its grid is that of the run's size.
        step: 0-based step.
        timestep: The scheduler's timestep.
        jobs: The images of the batch.
        acts: float32 [batch, tokens, d_in], tokens row by row, on the model's device; of the signal `map` the input and
            the output side by side, [batch, tokens, 2 d_in]. The tensor may share memory with the running model: it is
            valid only while the consumer runs, and must not be written to.
        grid: (rows, cols) of the tokens of this batch.
        mask: Which tokens count, bool [batch, tokens] on the device of `acts`: of a text, those of the prompt itself,
            without padding and template. None where all do.
    """

    layer: Layer
    step: int
    timestep: float
    jobs: tuple[ImageJob, ...]
    acts: torch.Tensor
    grid: tuple[int, int]
    mask: torch.Tensor | None = None

    def flat(self, acts: torch.Tensor | None = None) -> torch.Tensor:
        """Return the activations of the tokens that count, [n, d_in], images after each other.

        Args:
            acts: Others of the same tokens, [batch, tokens, width]; those of the layer if None.
        """
        acts = self.acts if acts is None else acts
        return acts.reshape(-1, acts.shape[-1]) if self.mask is None else acts[self.mask]

    def counted(self, code: SparseCode) -> SparseCode:
        """Return a code of all tokens, [batch * tokens, k], in which nothing fires in those that do not count."""
        if self.mask is None:
            return code
        out = ~self.mask.reshape(-1, 1)
        return SparseCode(code.latent_acts.masked_fill(out, 0), code.latent_indices.masked_fill(out, 0))


Consumer = Callable[[LayerActivations], None]


@dataclass(frozen=True)
class Capture:
    """A request to read layers.

    Attributes:
        layers: The layers; all are read in one pass. Each is resolved for the size of the run's settings.
        steps: 0-based steps; every layer is read at every step.
        consumer: Called while the model runs, in the order of the steps and of the model's depth; it computes in
            float32, also where the model does not.
        words: What reads word maps in the same run; None reads none.
    """

    layers: Sequence[Layer]
    steps: Collection[int]
    consumer: Consumer
    words: WordRequest | None = None

    def last_step(self, steps: int) -> int:
        """Return the last step that is read, of a generation of a number of steps."""
        wanted = set(self.steps)
        if self.words is not None:
            wanted |= set(range(steps) if self.words.steps is None else self.words.steps)
        return max(wanted, default=0)


def layer_acts(
    model: Model, layer: Layer, calls: Calls | CallSizes, inputs: dict[str, Any], output: Any
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Find a layer's activations before (None where the shapes differ) and after its module.

    Args:
        model: The model that runs.
        layer: The layer, resolved for the size of the batch.
        calls: The denoiser's present call, or its sizes.
        inputs: The module's arguments by name.
        output: The module's output.

    Returns:
        Both [rows of the call, tokens, d_in], of the layer's stream, of both branches where the call has both. A text
        that is not padded to the layer's grid has the tokens of the call.

    Raises:
        AutointerpError: The tensors do not have the layer's shape, or the module has no such signal.
    """
    rows, cols = layer.grid
    if layer.stream == "text":
        if calls.text_tokens != cols and model.family.text_stream().padded:
            raise AutointerpError(
                f"the text of this call has {calls.text_tokens} tokens, not the {cols} of {layer.hookpoint}",
                "resolve the layer for the max_sequence_length that is generated with",
            )
        image_tokens = calls.image_tokens
    else:
        image_tokens = calls.image_tokens or rows * cols
    before, after = model.family.tokens(layer.stream)(inputs, output, calls.text_tokens, image_tokens)
    if layer.signal == "map" and before is None:
        raise AutointerpError(f"{layer.hookpoint} gives tokens of another form than it takes", "name another block")
    if layer.signal == "update" and before is None:
        raise AutointerpError(f"{layer.hookpoint} has no update", 'set signal = "output" in autointerp.toml')
    tokens = calls.text_tokens if layer.stream == "text" else rows * cols
    expected = (calls.batch, tokens, layer.d_in)
    if tuple(after.shape) != expected:
        raise AutointerpError(
            f"{layer.hookpoint} gave activations of shape {tuple(after.shape)}, not {expected}",
            "resolve the layer for the size that is generated",
        )
    return before, after


def of_signal(layer: Layer, before: torch.Tensor | None, after: torch.Tensor, rows: slice) -> torch.Tensor:
    """Return the signal of a layer in some rows of what `layer_acts` found, [rows, tokens, `layer.width`]."""
    acts = after[rows]
    if layer.signal == "output" or before is None:
        return acts
    return torch.cat([before[rows], acts], -1) if layer.signal == "map" else acts - before[rows]


@contextmanager
def capturing(batch: Pass, capture: Capture) -> Iterator[None]:
    """Hand every layer at every step of the one generation that runs inside to the consumer.

    The consumer gets tokens of the layer's stream, of the conditional branch alone. The hooks are removed afterwards in
    every case.

    Raises:
        AutointerpError: The pipeline differs from what is known of its family, or a layer or step never came.
    """
    model = batch.model
    calls = Calls(batch)
    seen: set[tuple[Layer, int]] = set()
    steps = set(capture.steps)
    flags = FiniteFlags()

    def check() -> None:
        """Check what was noted so far. An accelerator does so once, at the end: a read waits for all pending work."""
        fine, timesteps = flags.unread, calls.unread
        if len(fine) and fine.device == timesteps.device:
            fine, timesteps = read_together(fine, timesteps)
        calls.check(timesteps)
        if found := flags.not_finite(fine):
            hookpoint, step = found[0].split(" ")
            raise NotFiniteError(f"{hookpoint} gave activations that are not finite at step {step}", OTHER_DTYPE)

    def hook_of(layer: Layer) -> Callable[..., None]:
        here = layer_at(model, layer, batch.settings.size)
        mask = text_mask(batch) if layer.stream == "text" else None

        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            if not calls.conditional or calls.step not in steps:
                return
            before, after = layer_acts(model, here, calls, named(module, args, kwargs), output)
            acts = of_signal(layer, before, after, calls.rows).detach()
            if mask is not None:
                acts = fitted(acts, here.grid, model.family.text_stream().padded_before)
            own = None if mask is None else mask.to(acts.device)
            key = (layer, calls.step)
            if key in seen:
                raise AutointerpError(f"{layer.hookpoint} ran twice in step {calls.step}", UNSUPPORTED)
            seen.add(key)
            # See them before the cast, which doubles the bytes to read; a sum in half precision would overflow.
            flags.see(f"{layer.hookpoint} {calls.step}", acts.sum(dtype=torch.float32))
            if reads_freely(acts):
                check()
            try:
                with model.float32():
                    capture.consumer(
                        LayerActivations(layer, calls.step, calls.timestep, batch.jobs, acts.float(), here.grid, own)
                    )
            except Exception:
                check()  # What the consumer met may be the consequence of this.
                raise

        return hook

    for layer in capture.layers:
        model.module(layer.hookpoint)
        check_layer(model, layer, batch.settings.guidance)
    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(calls.before, with_kwargs=True))
        for layer in capture.layers:
            module = model.module(layer.hookpoint)
            handles.append(module.register_forward_hook(hook_of(layer), with_kwargs=True))
        yield
        check()
        missing = len(capture.layers) * len(steps) - len(seen)
        if missing:
            raise AutointerpError(f"{missing} of the wanted activations never came", UNSUPPORTED)
    finally:
        for handle in handles:
            handle.remove()
