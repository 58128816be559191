"""Reading tensors from a device: all at once, because each read waits until the device has done all its work."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def read_together(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return copies of tensors of one device on the processor, by a single copy; those of a processor as they are."""
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return tensors
    return unpack(pack(tensors).cpu(), tensors)


def pack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return the bytes of all tensors, uint8 [total]."""
    return torch.cat([tensors[i].detach().contiguous().view(-1).view(torch.uint8) for i in _order(tensors)])


def unpack(packed: torch.Tensor, like: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Return the tensors that `pack` was given, as views of its result; `like` has their shapes and dtypes."""
    order = _order(like)
    parts = packed.split([like[i].numel() * like[i].element_size() for i in order])
    found = {i: part.view(like[i].dtype).view(like[i].shape) for i, part in zip(order, parts, strict=True)}
    return tuple(found[i] for i in range(len(like)))


def _order(tensors: Sequence[torch.Tensor]) -> list[int]:
    """Put the widest elements first, so that each tensor begins at a multiple of its elements' size."""
    return sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())
