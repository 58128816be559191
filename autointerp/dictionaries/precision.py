"""The precision of sums: float64 where a device has it."""

from __future__ import annotations

import functools

import torch


@functools.cache
def has_float64(kind: str) -> bool:
    """Return whether devices of a kind have float64."""
    try:
        torch.zeros(1, dtype=torch.float64, device=kind)
    except (TypeError, RuntimeError):
        return False
    return True


def wide_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype in which numbers are summed on a device: float64, or float32 where there is none, as on MPS."""
    return torch.float64 if has_float64(device.type) else torch.float32


def working_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype in which what is summed is computed: float64 on a processor, float32 on an accelerator."""
    return torch.float64 if device.type == "cpu" else torch.float32
