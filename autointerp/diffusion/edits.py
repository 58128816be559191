"""Edits: changes of activations during a pass. All interventions on a model are edits.

An edit says where it happens (a layer with its signal and stream, steps, cells, branch) and what changes there. Calls
are checked as in `capture`, and the hooks are always removed.

An edit of a feature adds (new activation - old activation) x direction. So the part of the activations that the
dictionary leaves unexplained stays, and an edit that changes no feature changes no bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from autointerp.diffusion.calls import Calls, named
from autointerp.diffusion.capture import layer_acts
from autointerp.diffusion.finite import OTHER_DTYPE, FiniteFlags, NotFiniteError
from autointerp.diffusion.jobs import check_capture_steps
from autointerp.diffusion.layers import Layer, layer_at
from autointerp.errors import AutointerpError, UsageError, nearest

if TYPE_CHECKING:
    from autointerp.diffusion.passes import Pass

Branch = Literal["conditional", "unconditional", "both"]
CellBox = tuple[int, int, int, int]
"""(first row, first column, end row, end column) in cells, ends exclusive."""
ChangeActivations = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [images, cells, d_in], denoising step) -> a tensor of the same shape."""
ReadFeature = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [n, d_in], denoising step) -> a feature's activations, float [n]."""


@dataclass(frozen=True)
class Change:
    """A change of activations.

    Attributes:
        function: Computes the new activations or, where `adds`, the tensor to add.
        adds: Whether the result is added to the activations instead of replacing them.
    """

    function: ChangeActivations
    adds: bool = False


def replace(function: ChangeActivations) -> Change:
    """Replace activations, e.g. by a dictionary's reconstruction; the reconstruction error is dropped."""
    return Change(function)


def zeroed(acts: torch.Tensor, _step: int) -> torch.Tensor:
    """Zero-ablate: leave out a layer's `update`, or set its `output` to zero."""
    return torch.zeros_like(acts)


def add_vector(vector: torch.Tensor) -> Change:
    """Add a vector [d_in] in every addressed cell."""
    return Change(lambda acts, _step: vector.to(acts).expand_as(acts), adds=True)


def change_feature(read: ReadFeature, direction: torch.Tensor, new: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """Change a feature's activation by a function.

    Args:
        read: Computes the feature's activation from activations of the layer.
        direction: The feature's direction in raw activation space, [d_in].
        new: Maps old activations [n] to new ones.
    """

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        old = read(acts.reshape(-1, acts.shape[-1]), step)
        return ((new(old) - old)[:, None] * direction.to(acts)).reshape(acts.shape)

    return Change(function, adds=True)


def scale_feature(read: ReadFeature, direction: torch.Tensor, factor: float) -> Change:
    """Multiply a feature's activation: 0 ablates the feature, 1 changes nothing."""
    return change_feature(read, direction, lambda old: factor * old)


def clamp_feature(
    read: ReadFeature, direction: torch.Tensor, least: float | None = None, most: float | None = None
) -> Change:
    """Clamp a feature's activation between two bounds; equal bounds set it."""
    return change_feature(read, direction, lambda old: old.clamp(least, most))


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of one layer's activations, and where it happens.

    Attributes:
        layer: The layer. Under the signal `update`, `change` is given the part that the block adds.
        change: The change.
        steps: 0-based denoising steps; None for all.
        cells: A box, or a bool mask [rows, cols] of the layer's grid; None for all cells.
        branch: The branch of guidance whose activations are changed.

    Raises:
        UsageError: The cells do not lie in the layer's grid, or there is no such branch.
    """

    layer: Layer
    change: Change
    steps: Collection[int] | None = None
    cells: CellBox | torch.Tensor | None = None
    branch: Branch = "conditional"

    def __post_init__(self) -> None:
        if self.branch not in get_args(Branch):
            raise UsageError(f"there is no branch {self.branch!r}", nearest(self.branch, get_args(Branch)))
        self.tokens()

    def tokens(self) -> torch.Tensor | None:
        """Return the indices of the addressed tokens, int64 [n]; None for all."""
        if self.cells is None:
            return None
        if isinstance(self.cells, torch.Tensor):
            if self.cells.dtype != torch.bool or tuple(self.cells.shape) != self.layer.grid:
                raise UsageError(
                    f"a mask of {self.cells.dtype} {list(self.cells.shape)} does not fit {self.layer.name}",
                    f"give a bool mask of its grid {list(self.layer.grid)}",
                )
            mask = self.cells
        else:
            mask = box_mask(self.cells, self.layer)
        return mask.reshape(-1).nonzero().squeeze(1)


def box_mask(box: CellBox, layer: Layer) -> torch.Tensor:
    """Return the cells of a box as a mask, bool [rows, cols].

    Raises:
        UsageError: The box is empty, or does not lie in the layer's grid.
    """
    rows, cols = layer.grid
    top, left, bottom, right = box
    if not (0 <= top < bottom <= rows and 0 <= left < right <= cols):
        raise UsageError(
            f"the box {','.join(map(str, box))} does not lie in the {rows}x{cols} cells of {layer.name}",
            f"give R0,C0,R1,C1, ends exclusive; the whole grid is 0,0,{rows},{cols}",
        )
    mask = torch.zeros(rows, cols, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


@contextmanager
def editing(batch: Pass, edits: Sequence[Edit]) -> Iterator[None]:
    """Make edits in the one generation that runs inside. The hooks are removed afterwards in every case.

    Edits of one module happen in their order, each on the result of the one before. Calls that only correct a step (see
    `steps_of_calls`) stay as they are.

    Raises:
        UsageError: A step is not among the generation's, or cells do not fit the size of the batch.
        NotFiniteError: An edit gave activations that are not finite in the model's dtype.
        AutointerpError: The pipeline differs from what is known of its family, or an edit never happened.
    """
    model = batch.model
    calls, flags = Calls(batch), FiniteFlags()
    placed = [_PlacedEdit(one, batch, flags) for one in edits]
    reached: set[int] = set()

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.before(module, args, kwargs)
        reached.add(calls.step)

    def hook_of(those: Sequence[_PlacedEdit]) -> Callable[..., Any]:
        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            for one in those:
                output = one.made(calls, named(module, args, kwargs), output)
            return output

        return hook

    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(before, with_kwargs=True))
        for hookpoint in dict.fromkeys(one.layer.hookpoint for one in edits):
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


class _PlacedEdit:
    """An edit in a pass: its layer has the grid of the batch's size, its steps and tokens are numbers."""

    def __init__(self, edit: Edit, batch: Pass, flags: FiniteFlags) -> None:
        self.edit = dataclasses.replace(edit, layer=layer_at(batch.model, edit.layer, batch.settings.size))
        self.batch, self.flags = batch, flags
        steps = range(batch.steps) if edit.steps is None else check_capture_steps(edit.steps, batch.steps)
        self.steps = set(steps)
        self.tokens = self.edit.tokens()
        self.happened = False

    def made(self, calls: Calls, inputs: dict[str, Any], output: Any) -> Any:
        """Return a module's output with the edit made, where the present call is one of its steps and branch."""
        rows = self._rows(calls) if calls.step in self.steps else None
        if rows is None:
            return output
        layer, model = self.edit.layer, self.batch.model
        before, after = layer_acts(model, layer, calls, inputs, output)
        self.happened = True
        return model.family.put(layer.stream)(inputs, output, self._changed(before, after, rows, calls.step))

    def check_happened(self, reached: set[int]) -> None:
        """Raise `AutointerpError` where the edit never happened although the pass reached one of its steps."""
        if not self.happened and self.steps & reached:
            raise AutointerpError(
                f"an edit of {self.edit.layer.hookpoint} never happened",
                "without guidance there is only the conditional branch"
                if self.edit.branch == "unconditional"
                else "name a module that runs at these steps",
            )

    def _rows(self, calls: Calls) -> slice | None:
        """Return the rows of the present call that belong to the edit's branch; None if the call has none."""
        branch, count = self.edit.branch, self.batch.count
        if calls.batch == 2 * count:  # The rows are [unconditional; conditional].
            return {"conditional": slice(count, None), "unconditional": slice(count), "both": slice(None)}[branch]
        present = "conditional" if calls.conditional else "unconditional"
        return slice(None) if branch in (present, "both") else None

    def _changed(self, before: torch.Tensor | None, after: torch.Tensor, rows: slice, step: int) -> torch.Tensor:
        """Return `after` [rows of the call, tokens, d_in] with the change made in the given rows."""
        change, layer = self.edit.change, self.edit.layer
        where = slice(None) if self.tokens is None else self.tokens.to(after.device)
        old = after[rows][:, where]
        base = before[rows][:, where] if layer.signal == "update" and before is not None else None
        acts = (old if base is None else old - base).float()
        with self.batch.model.float32():
            new = change.function(acts, step)
        if new.shape != acts.shape:
            raise AutointerpError(
                f"an edit of {layer.hookpoint} gave activations of shape {tuple(new.shape)}, not {tuple(acts.shape)}",
                "give a change that keeps the shape",
            )
        if change.adds:
            new = (old.float() + new).to(old.dtype)
        else:
            new = new.to(old.dtype) if base is None else base + new.to(old.dtype)
        self.flags.see(layer.hookpoint, new)
        changed = after.clone()
        changed[rows, where] = new
        return changed
