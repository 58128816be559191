"""Make edits during a pass. Calls are checked as in `capture`, and the hooks are always removed.

The images of a batch may have edits of their own, so many edits of one image are made in one generation: the image is
given as several jobs. Each module's output is copied once, however many edits there are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from autointerp.diffusion.arguments import named
from autointerp.diffusion.calls import Calls
from autointerp.diffusion.capture import layer_acts
from autointerp.diffusion.dry_run import check_layer
from autointerp.diffusion.finite import OTHER_DTYPE, FiniteFlags, NotFiniteError
from autointerp.diffusion.jobs import check_capture_steps
from autointerp.diffusion.layers import layer_at
from autointerp.diffusion.text_masks import fitted, text_mask
from autointerp.errors import AutointerpError

if TYPE_CHECKING:
    from autointerp.diffusion.edits import Edit
    from autointerp.diffusion.passes import Pass

_Rows = slice | torch.Tensor
"""Rows of a call: a slice where they follow one another, else int64 [n]."""


@contextmanager
def editing(batch: Pass, edits: Sequence[Edit]) -> Iterator[None]:
    """Make edits in the one generation that runs inside. The hooks are removed afterwards in every case.

    Edits of one module happen in their order, each on the result of the one before. Calls that only correct a step (see
    `steps_of_calls`) stay as they are. Edits of images that are not in the batch are left out.

    Raises:
        UsageError: A step is not among the generation's, or cells do not fit the size of the batch.
        NotFiniteError: An edit gave activations that are not finite in the model's dtype.
        AutointerpError: The pipeline differs from what is known of its family, or an edit never happened.
    """
    model = batch.model
    calls, flags = Calls(batch), FiniteFlags()
    placed = [one for one in (_PlacedEdit(edit, batch, flags) for edit in edits) if one.images]
    masks = text_mask(batch) if any(one.edit.layer.stream == "text" for one in placed) else None
    reached: set[int] = set()

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.before(module, args, kwargs)
        reached.add(calls.step)

    def hook_of(those: Sequence[_PlacedEdit]) -> Callable[..., Any]:
        streams = [[one for one in those if one.edit.layer.stream == s] for s in ("image", "text")]

        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            for edits_of_stream in streams:
                if edits_of_stream:
                    own = masks if edits_of_stream is streams[1] else None
                    output = _edited(batch, edits_of_stream, calls, named(module, args, kwargs), output, own)
            return output

        return hook

    for one in placed:
        check_layer(model, one.edit.layer, batch.settings.guidance)
    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(before, with_kwargs=True))
        for hookpoint in dict.fromkeys(one.edit.layer.hookpoint for one in placed):
            those = [one for one in placed if one.edit.layer.hookpoint == hookpoint]
            handles.append(model.module(hookpoint).register_forward_hook(hook_of(those), with_kwargs=True))
        try:
            yield
        except NotFiniteError as error:
            _check_finite(flags, model.dtype)
            raise NotFiniteError(error.message, f"{error.hint}, or a weaker edit") from error
        _check_finite(flags, model.dtype)
        calls.check()
        for one in placed:
            one.check_happened(reached)
    finally:
        for handle in handles:
            handle.remove()


def _check_finite(flags: FiniteFlags, dtype: torch.dtype) -> None:
    """Raise `NotFiniteError` where an edit gave activations that are not finite, or that the dtype does not hold."""
    if found := flags.not_finite():
        holds = "" if dtype == torch.float32 else f", or above the {torch.finfo(dtype).max:.4g} that {dtype} holds"
        raise NotFiniteError(
            f"the edit of {' and '.join(found)} gave activations that are not finite{holds}".replace("torch.", ""),
            f"make it weaker{'' if dtype == torch.float32 else f', or {OTHER_DTYPE}'}",
        )


def _edited(
    batch: Pass,
    placed: Sequence[_PlacedEdit],
    calls: Calls,
    inputs: dict[str, Any],
    output: Any,
    masks: torch.Tensor | None,
) -> Any:
    """Return a module's output with the edits of one stream made that belong to the present call.

    Of a text, `masks` bool [images, tokens] says which tokens are edited in conditional rows: not padding and template.
    """
    present = [(one, rows) for one in placed if (rows := one.rows(calls)) is not None]
    if not present:
        return output
    model, layers = batch.model, dict.fromkeys(one.edit.layer for one, _ in present)
    found = {layer: layer_acts(model, layer, calls, inputs, output) for layer in layers}
    changed = next(iter(found.values()))[1].clone()
    kept = changed.clone() if masks is not None and calls.conditional else None
    for one, rows in present:
        one.make(found[one.edit.layer][0], changed, rows, calls.step)
    if kept is not None and masks is not None:
        before = model.family.text_stream().padded_before
        own = fitted(masks[..., None].to(changed.device), (1, changed.shape[1]), before)
        changed[calls.rows] = torch.where(own, changed[calls.rows], kept[calls.rows])
    return model.family.put(present[0][0].edit.layer.stream)(inputs, output, changed)


class _PlacedEdit:
    """An edit in a pass: its layer has the grid of the batch's size, its steps, tokens and images are numbers."""

    def __init__(self, edit: Edit, batch: Pass, flags: FiniteFlags) -> None:
        self.edit = dataclasses.replace(edit, layer=layer_at(batch.model, edit.layer, batch.settings.size))
        self.batch, self.flags = batch, flags
        steps = range(batch.steps) if edit.steps is None else check_capture_steps(edit.steps, batch.steps)
        self.steps = set(steps)
        self.tokens = self.edit.tokens()
        wanted = None if edit.images is None else set(edit.images)
        self.images = [i for i, job in enumerate(batch.jobs) if wanted is None or job.index in wanted]
        self.happened = False

    def rows(self, calls: Calls) -> _Rows | None:
        """Return the rows of the present call that are changed; None if there are none."""
        if calls.step not in self.steps:
            return None
        branch, count = self.edit.branch, self.batch.count
        if calls.batch == 2 * count:
            conditional = calls.rows.start or 0
            starts = {"conditional": [conditional], "unconditional": [count - conditional], "both": [0, count]}[branch]
        else:
            present = "conditional" if calls.conditional else "unconditional"
            if branch not in (present, "both"):
                return None
            starts = [0]
        found = [start + image for start in starts for image in self.images]
        if found == list(range(found[0], found[-1] + 1)):
            return slice(found[0], found[-1] + 1)
        return torch.tensor(found)

    def check_happened(self, reached: set[int]) -> None:
        """Raise `AutointerpError` where the edit never happened although the pass reached one of its steps."""
        if not self.happened and self.steps & reached:
            raise AutointerpError(
                f"an edit of {self.edit.layer.hookpoint} never happened",
                "without guidance there is only the conditional branch"
                if self.edit.branch == "unconditional"
                else "name a module that runs at these steps",
            )

    def make(self, before: torch.Tensor | None, changed: torch.Tensor, rows: _Rows, step: int) -> None:
        """Make the change in the given rows of `changed`, [rows of the call, tokens, d_in], in place."""
        change, layer = self.edit.change, self.edit.layer
        self.happened = True
        where = slice(None) if self.tokens is None else self.tokens.to(changed.device)
        rows = rows if isinstance(rows, slice) else rows.to(changed.device)
        old = changed[rows][:, where]
        base = before[rows][:, where] if layer.signal != "output" and before is not None else None
        is_map = layer.signal == "map"
        acts = old if base is None else torch.cat([base, old], -1) if is_map else old - base
        with self.batch.model.float32():
            new = change.function(acts.float(), step)
        if is_map:
            new, base = new[..., -old.shape[-1] :], None
        if new.shape != old.shape:
            raise AutointerpError(
                f"an edit of {layer.hookpoint} gave activations of shape {tuple(new.shape)}, not {tuple(old.shape)}",
                "give a change that keeps the shape",
            )
        if change.adds:
            new = (old.float() + new).to(old.dtype)
        else:
            new = new.to(old.dtype) if base is None else base + new.to(old.dtype)
        self.flags.see(layer.hookpoint, new)
        if isinstance(rows, slice) or isinstance(where, slice):
            changed[rows, where] = new
        else:
            changed[rows[:, None], where] = new
