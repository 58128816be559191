"""The tensors of a file by their names, and the parts of a file that could each be a dictionary.

Tools wrap weights in mappings (`state_dict`, `model`, one a layer), and torch puts words before names: `module.` of
DataParallel, `_orig_mod.` of torch.compile. Each is undone here, with a note; what could be several dictionaries stays
several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from autointerp.dictionaries.formats.opening import AGAIN
from autointerp.errors import AutointerpError

_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Words that torch puts into the names of a wrapped module's tensors."""
_DEPTH = 3
"""How deep a file may wrap its tensors."""
TOP = "top"
"""What the tensors at the top of a file are called, where others lie beside them."""


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file, or of one part of it, by name.

    Attributes:
        path: The file.
        found: Name -> tensor.
        inside: The keys that they were wrapped in, joined by dots; empty at the top.
        beside: What stood next to their mapping: numbers, texts, and mappings.
        prefix: What stood before every name, joined with a dot.
        notes: What was done to reach them.
    """

    path: Path
    found: Mapping[str, torch.Tensor]
    inside: str = ""
    beside: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    notes: tuple[str, ...] = ()

    def __contains__(self, name: object) -> bool:
        return name in self.found

    @property
    def part(self) -> str:
        """The name of this part of the file."""
        return ".".join(word for word in (self.inside, self.prefix) if word) or TOP

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor.

        Raises:
            AutointerpError: There is none of this name.
        """
        if name not in self.found:
            listed = ", ".join(list(self.found)[:8]) or "nothing"
            raise AutointerpError(f"{self.path} lacks the tensor {name}", f"it holds {listed}; {AGAIN}")
        return tuple(self.found[name].shape)

    def take(self, name: str, *shape: int) -> torch.Tensor:
        """Return a tensor as float32, checked.

        Raises:
            AutointerpError: It is missing, has another shape, holds no real numbers, or some that are not finite.
        """
        if self.shape(name) != shape:
            turned = ", as if it were transposed" if self.shape(name) == shape[::-1] and len(shape) > 1 else ""
            raise AutointerpError(
                f"{self.path}: {name} is {list(self.shape(name))}, but the others ask for {list(shape)}{turned}", AGAIN
            )
        if not self.found[name].is_floating_point():
            kind = str(self.found[name].dtype).removeprefix("torch.")
            raise AutointerpError(
                f"{self.path}: {name} holds {kind} values, no weights", "save them as float32, not quantized"
            )
        return self._finite(name)

    def _finite(self, name: str) -> torch.Tensor:
        tensor = self.found[name].detach()
        if tensor.layout != torch.strided or tensor.device.type == "meta":
            raise AutointerpError(f"{self.path}: {name} is no plain tensor", "save it as a dense one")
        tensor = tensor.float()
        if not bool(torch.isfinite(tensor).all()):
            raise AutointerpError(f"{self.path}: {name} holds values that are not finite", AGAIN)
        return tensor.contiguous()

    def matrix(self, name: str) -> tuple[int, int]:
        """Return the shape of a tensor that must be a matrix with something in it."""
        shape = self.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise AutointerpError(f"{self.path}: {name} is {list(shape)}, no matrix", AGAIN)
        return shape[0], shape[1]

    def number(self, name: str) -> float:
        """Return a tensor of one element."""
        if self.found[name].numel() != 1:
            raise AutointerpError(f"{self.path}: {name} is {list(self.shape(name))}, not one number", AGAIN)
        return float(self._finite(name))

    def equals(self, other: Tensors) -> bool:
        """Return whether another part holds the same tensors under the same names."""
        return self.found.keys() == other.found.keys() and all(
            tensor.dtype == other.found[name].dtype and torch.equal(tensor, other.found[name])
            for name, tensor in self.found.items()
        )


def parts_of(path: Path, content: Any) -> Iterator[Tensors]:
    """Yield the tensors at the top of a file, then those of each mapping that it wraps."""
    yield from _parts(path, content, "", {}, _DEPTH)


def matching(tensors: Tensors, names: Sequence[str]) -> Iterator[Tensors]:
    """Yield the groups of a part's tensors that have all these names, after what stands before every one of them."""
    bare = _unwrapped(tensors)
    prefixes = {key[: -len(names[0])] for key in bare.found if key == names[0] or key.endswith(f".{names[0]}")}
    for prefix in sorted(prefixes):
        if not all(prefix + name in bare.found for name in names):
            continue
        if not prefix:
            yield bare
            continue
        group = {key[len(prefix) :]: tensor for key, tensor in bare.found.items() if key.startswith(prefix)}
        left = len(bare.found) - len(group)
        others = f", not the {left} beside them" if left else ""
        note = f"{tensors.path.name}: the tensors whose names begin with {prefix!r} are taken{others}"
        yield replace(bare, found=group, prefix=prefix[:-1], notes=(*bare.notes, note))


def _unwrapped(tensors: Tensors) -> Tensors:
    """Return the tensors by the names that they have without torch's wrappers, where these stay different."""
    bare: dict[str, torch.Tensor] = {}
    dropped: dict[str, None] = {}
    for key, tensor in tensors.found.items():
        words = key.split(".")
        dropped |= dict.fromkeys(word for word in words[:-1] if word in _WRAPPERS)
        bare[".".join([word for word in words[:-1] if word not in _WRAPPERS] + words[-1:])] = tensor
    if not dropped or len(bare) < len(tensors.found):
        return tensors
    said = " and ".join(f"{word!r}" for word in (f"{word}." for word in dropped))
    note = f"{tensors.path.name}: {said}, which a wrapper put into the tensors' names, is left out"
    return replace(tensors, found=bare, notes=(*tensors.notes, note))


def _parts(path: Path, content: Any, inside: str, beside: Mapping[str, Any], depth: int) -> Iterator[Tensors]:
    if isinstance(content, list | tuple):
        content = {str(number): value for number, value in enumerate(content)}
    if not isinstance(content, Mapping):
        return
    if here := only_tensors(content):
        notes = (f"{path.name}: its {inside!r} is taken",) if inside else ()
        yield Tensors(path, here, inside, beside, notes=notes)
    if depth:
        for name, value in content.items():
            near = {str(k): v for k, v in content.items() if k != name and _is_figure(v)}
            yield from _parts(path, value, f"{inside}.{name}" if inside else str(name), near, depth - 1)


def only_tensors(content: Any) -> dict[str, torch.Tensor]:
    """Return what of a mapping are tensors, by name."""
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}


def _is_figure(value: Any) -> bool:
    return isinstance(value, str | int | float | Mapping) or (isinstance(value, torch.Tensor) and value.numel() == 1)
