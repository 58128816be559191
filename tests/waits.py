"""Counts the operations for which a program would wait for an accelerator, on a machine without one.

The operations are the same on a processor, where they cost nothing: a number or a truth value that is read, and results
whose size depends on the data. Copies and `tolist` are not seen on a processor.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

WAIT = {
    "_local_scalar_dense", "nonzero", "is_nonzero", "masked_select", "_unique2", "unique_consecutive", "unique_dim",
    "bincount", "repeat_interleave", "equal", "_linalg_eigh", "linalg_inv_ex", "_linalg_solve_ex",
}  # fmt: skip
_PACKAGE = str(Path(__file__).parents[1] / "autointerp")


def _line() -> str | None:
    """Return the function of the package that is running; None in an optimizer, whose counters no accelerator holds."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and not frame.f_code.co_filename.startswith(_PACKAGE):
        if "/torch/optim/" in frame.f_code.co_filename:
            return None
        frame = frame.f_back
    return "outside" if frame is None else f"{Path(frame.f_code.co_filename).name}:{frame.f_code.co_name}"


class _Counting(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if (name in WAIT or by_mask) and (line := _line()):
            self.found[f"{line} {name}"] += 1
        return func(*args, **(kwargs or {}))


@contextmanager
def waits() -> Iterator[Counter[str]]:
    """Count, by function of the package and operation, what would wait inside."""
    with _Counting() as counting:
        yield counting.found
