"""The device `pretend`: host memory and the CPU's kernels under the rules of CUDA. Importing this makes it known."""

from __future__ import annotations

import re
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torchgen

from tests.pretend_gpu import building

if reason := building.why_not():
    pytest.skip(reason, allow_module_level=True)

NAME = "pretend"
_compiled: Any = building.load()


def _unchecked() -> list[str]:
    """Operators for which CUDA's wrappers check no devices, by torchgen's copy of native_functions.yaml."""
    listed = Path(torchgen.__file__).parent / "packaged" / "ATen" / "native" / "native_functions.yaml"
    entries = re.split(r"^- func: ", listed.read_text(), flags=re.MULTILINE)[1:]
    unchecked = [e for e in entries if re.search(r"^  device_check: NoCheck", e, flags=re.MULTILINE)]
    return ["aten::" + entry.partition("(")[0].strip() for entry in unchecked]


def _index(device: Any = None) -> int:
    index = device if isinstance(device, int) or device is None else torch.device(device).index
    return _compiled.current_device() if index is None else index


class _Current(AbstractContextManager[None]):
    """As torch.cuda.device: within, a device is the current one."""

    def __init__(self, device: Any) -> None:
        self.index = _index(device)

    def __enter__(self) -> None:
        self.before = _compiled.current_device()
        _compiled.set_device(self.index)

    def __exit__(self, *raised: object) -> None:
        _compiled.set_device(self.before)


def _module() -> types.ModuleType:
    """What PyTorch and its users look for in `torch.pretend`."""
    generators = [_compiled.default_generator(i) for i in range(_compiled.device_count)]
    module = types.ModuleType(f"torch.{NAME}")
    offered: dict[str, Any] = {
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "_lazy_init": lambda: None,
        "_is_in_bad_fork": lambda: False,
        "device_count": lambda: _compiled.device_count,
        "current_device": _compiled.current_device,
        "set_device": lambda device: _compiled.set_device(_index(device)),
        "device": _Current,
        "synchronize": lambda device=None: torch.accelerator.synchronize(_index(device)),
        "empty_cache": lambda: None,
        "default_generators": generators,
        "manual_seed": lambda seed: generators[_index()].manual_seed(seed),
        "manual_seed_all": lambda seed: [g.manual_seed(seed) for g in generators],
        "get_rng_state": lambda device=None: generators[_index(device)].get_state(),
        "set_rng_state": lambda state, device=None: generators[_index(device)].set_state(state),
        "get_amp_supported_dtype": lambda: [torch.float16, torch.bfloat16],
        "is_bf16_supported": lambda including_emulation=True: True,
    }
    vars(module).update(offered)
    return module


_compiled.unchecked(_unchecked())
torch.utils.rename_privateuse1_backend(NAME)
torch._register_device_module(NAME, _module())
torch.utils.generate_methods_for_privateuse1_backend(for_storage=True)


@contextmanager
def no_float64() -> Iterator[None]:
    """Take float64 from the device, as MPS lacks it."""
    _compiled.no_float64(True)
    try:
        yield
    finally:
        _compiled.no_float64(False)


class Counting:
    """What makes a host wait for a GPU, counted while this is entered as a context.

    A wait is told by the innermost line of `folder` from which it comes, as "path:line".

    Attributes:
        reads: Values and sizes that the host asks for: copies to the host, item, nonzero, masks.
        writes: Copies from the host's own memory.
        waits: Calls of synchronize().
    """

    def __init__(self, folder: str = "/autointerp/") -> None:
        self.folder = folder
        self.reads: Counter[tuple[str, str]] = Counter()
        self.writes: Counter[tuple[str, str]] = Counter()
        self.waits: Counter[tuple[str, str]] = Counter()
        self._kinds = {"read": self.reads, "write": self.writes, "wait": self.waits}
        self._lock = threading.Lock()

    def _told(self, kind: str, what: str) -> None:
        frame: Any = sys._getframe()
        while frame is not None and self.folder not in frame.f_code.co_filename:
            frame = frame.f_back
        where = f"{frame.f_code.co_filename.rpartition(self.folder)[2]}:{frame.f_lineno}" if frame else "elsewhere"
        with self._lock:
            self._kinds[kind][where, what] += 1

    def __enter__(self) -> Counting:
        _compiled.watch(self._told)
        return self

    def __exit__(self, *raised: object) -> None:
        _compiled.watch(None)
