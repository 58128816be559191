"""Changing activations while a model runs: the one way to do it, whatever for.

An edit says where it happens (a layer with its signal and stream, steps, cells, branch) and what happens there. What
is asked of a call is checked against the call itself, as in `capture`, and hooks are always removed.

A feature is edited by what its change adds: (new activation - old activation) x direction. So what the dictionary
leaves unexplained stays as it is, and an edit that changes no feature changes no bit.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from autointerp.diffusion.capture import Calls, layer_acts, named
from autointerp.diffusion.generation import check_capture_steps
from autointerp.diffusion.layers import Layer
from autointerp.errors import AutointerpError, UsageError, nearest

if TYPE_CHECKING:
    from autointerp.diffusion.loading import Model

Branch = Literal["conditional", "unconditional", "both"]
CellBox = tuple[int, int, int, int]
"""(first row, first column, end row, end column) in cells, ends exclusive."""
Function = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [images, cells, d_in], denoising step) -> a tensor of the same shape."""
ReadFeature = Callable[[torch.Tensor, int], torch.Tensor]
"""(activations float32 [n, d_in], denoising step) -> a feature's activations, float [n]."""


@dataclass(frozen=True)
class Change:
    """What happens to activations: `function` gives what stands in their place or, if it `adds`, what is added."""

    function: Function
    adds: bool = False


def replace(function: Function) -> Change:
    """Something else stands there, such as a dictionary's reconstruction: what that leaves out is left out."""
    return Change(function)


def add_vector(vector: torch.Tensor) -> Change:
    """A vector [d_in] is added in every addressed cell."""
    return Change(lambda acts, step: vector.to(acts).expand_as(acts), adds=True)


def change_feature(read: ReadFeature, direction: torch.Tensor, new: Callable[[torch.Tensor], torch.Tensor]) -> Change:
    """A feature's activation becomes what `new` makes of it.

    Args:
        read: Its activation, of activations of the layer.
        direction: Its direction in raw activation space, [d_in].
        new: Old activations [n] to new ones.
    """

    def function(acts: torch.Tensor, step: int) -> torch.Tensor:
        old = read(acts.reshape(-1, acts.shape[-1]), step)
        return ((new(old) - old)[:, None] * direction.to(acts)).reshape(acts.shape)

    return Change(function, adds=True)


def scale_feature(read: ReadFeature, direction: torch.Tensor, factor: float) -> Change:
    """What a feature adds is multiplied: 0 ablates it, 1 changes nothing."""
    return change_feature(read, direction, lambda old: factor * old)


def clamp_feature(
    read: ReadFeature, direction: torch.Tensor, least: float | None = None, most: float | None = None
) -> Change:
    """A feature's activation is kept between two bounds; equal bounds set it."""
    return change_feature(read, direction, lambda old: old.clamp(least, most))


@dataclass(frozen=True, eq=False)
class Edit:
    """A change of one layer's activations, and where it happens.

    `steps` are 0-based denoising steps (None: all), `cells` a box or a bool mask [rows, cols] of the layer's grid
    (None: all), `branch` whose activations they are under guidance. Under the signal `update`, `change` is given what
    the block adds.

    Raises:
        UsageError: The cells are not in the layer's grid, or there is no such branch.
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
        """Indices of the addressed tokens, int64 [n]; None for all."""
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
    """The cells of a box, bool [rows, cols].

    Raises:
        UsageError: It is empty, or not in the layer's grid.
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
def edit(model: Model, edits: Sequence[Edit], count: int, total: int, branches: int) -> Iterator[None]:
    """Make edits in the one generation that runs inside. Hooks are gone afterwards, whatever happened.

    Edits of one module happen in their order, each to what the one before left. Calls that only correct a step (see
    `steps_of_calls`) stay as they are.

    Args:
        model: The model that generates.
        edits: What happens, and where.
        count: Images of the batch.
        total: Denoising steps of the generation.
        branches: Denoiser runs a step, the conditional one first.

    Raises:
        UsageError: A step is not among the generation's.
        AutointerpError: The pipeline did not do what is known of its family, or an edit never happened.
    """
    calls = Calls(model, total, branches, count)
    steps = [set(range(total)) if e.steps is None else set(check_capture_steps(e.steps, total)) for e in edits]
    tokens = [e.tokens() for e in edits]
    reached: set[int] = set()
    happened: set[int] = set()

    def before(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.before(module, args, kwargs)
        reached.add(calls.step)

    def rows_of(branch: Branch) -> slice | None:
        """Which rows of the present call belong to a branch."""
        if calls.batch == 2 * count:  # [unconditional; conditional]
            return {"conditional": slice(count, None), "unconditional": slice(count), "both": slice(None)}[branch]
        mine = "conditional" if calls.conditional else "unconditional"
        return slice(None) if branch in (mine, "both") else None

    def hook_of(numbers: Sequence[int]) -> Callable[..., Any]:
        def hook(module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
            for i in numbers:
                rows = rows_of(edits[i].branch) if calls.step in steps[i] else None
                if rows is None:
                    continue
                inputs, layer = named(module, args, kwargs), edits[i].layer
                acts = layer_acts(model, layer, calls, inputs, output)
                changed = _changed(edits[i], *acts, rows, tokens[i], calls.step)
                output = model.family.put(layer.stream)(inputs, output, changed)
                happened.add(i)
            return output

        return hook

    places: dict[str, list[int]] = {}
    for i, one in enumerate(edits):
        places.setdefault(one.layer.hookpoint, []).append(i)
    handles = []
    try:
        handles.append(model.denoiser.register_forward_pre_hook(before, with_kwargs=True))
        for hookpoint, numbers in places.items():
            handles.append(model.module(hookpoint).register_forward_hook(hook_of(numbers), with_kwargs=True))
        yield
        for i, one in enumerate(edits):
            if i not in happened and steps[i] & reached:
                raise AutointerpError(
                    f"an edit of {one.layer.hookpoint} never happened",
                    "without guidance there is only the conditional branch"
                    if one.branch == "unconditional"
                    else "name a module that runs at these steps",
                )
    finally:
        for handle in handles:
            handle.remove()


def _changed(
    one: Edit,
    before: torch.Tensor | None,
    after: torch.Tensor,
    rows: slice,
    tokens: torch.Tensor | None,
    step: int,
) -> torch.Tensor:
    """`after` [rows of the call, tokens, d_in] with the edit made in the given rows and tokens."""
    where = slice(None) if tokens is None else tokens.to(after.device)
    old = after[rows][:, where]
    base = before[rows][:, where] if one.layer.signal == "update" and before is not None else None
    acts = (old if base is None else old - base).float()
    new = one.change.function(acts, step)
    if new.shape != acts.shape:
        raise AutointerpError(
            f"an edit of {one.layer.hookpoint} gave activations of shape {tuple(new.shape)}, not {tuple(acts.shape)}",
            "give a change that keeps the shape",
        )
    if one.change.adds:
        new = (old.float() + new).to(old.dtype)
    else:
        new = new.to(old.dtype) if base is None else base + new.to(old.dtype)
    changed = after.clone()
    changed[rows, where] = new
    return changed
