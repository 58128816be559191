"""What the scripts that run inside a library's own environment share. Imports nothing of autointerp.

A case is a folder of files in the library's format, with `CASE.safetensors` beside it: inputs `x` [rows, d], and what
the side that wrote it makes of them: dense codes `acts` [rows, n] and `rebuilt` [rows, d]. The other side answers with
`CASE.answer.safetensors`.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

D, N, K, ROWS = 64, 256, 8, 256


def bare(name: str) -> None:
    """Make a package's modules importable without running its `__init__`, which imports what encoding does not need."""
    spec = importlib.util.find_spec(name)
    assert spec is not None, f"{name} is not installed"
    assert spec.submodule_search_locations is not None, f"{name} is not installed"
    module = types.ModuleType(name)
    module.__path__ = list(spec.submodule_search_locations)
    module.__spec__ = spec
    sys.modules[name] = module


def randomize(module: torch.nn.Module, seed: int) -> None:
    """Draw every floating parameter, biases smaller, so that nothing is left at an initial value that hides a fault."""
    draw = torch.Generator().manual_seed(seed)
    for tensor in module.parameters():
        scale = 0.3 if tensor.dim() < 2 else 1 / tensor.shape[-1] ** 0.5
        tensor.data = torch.randn(tensor.shape, generator=draw) * scale


def inputs() -> torch.Tensor:
    """The same rows for every case."""
    return torch.randn(ROWS, D, generator=torch.Generator().manual_seed(7)) * 2


Run = Callable[[torch.Tensor], torch.Tensor]


def state(folder: Path, case: str, encode: Run, decode: Run) -> None:
    """Write what this library makes of the inputs, beside the files of a case."""
    x = inputs()
    with torch.no_grad():
        acts = encode(x)
        rebuilt = decode(acts)
    tensors = {"x": x, "acts": acts.float(), "rebuilt": rebuilt.float()}
    save_file({k: v.detach().contiguous() for k, v in tensors.items()}, folder / f"{case}.safetensors")


def cases(folder: Path) -> Iterator[tuple[str, Path, torch.Tensor, torch.Tensor]]:
    """(case, its files, inputs, the other side's codes) of all cases in a folder."""
    for path in sorted(p for p in folder.iterdir() if p.is_dir()):
        found = load_file(folder / f"{path.name}.safetensors")
        yield path.name, path, found["x"], found["acts"]


def answer(folder: Path, case: str, acts: torch.Tensor, rebuilt: torch.Tensor) -> None:
    """Write what this library makes of the other side's files; `rebuilt` is decoded from its codes."""
    tensors = {"acts": acts.detach().float().contiguous(), "rebuilt": rebuilt.detach().float().contiguous()}
    save_file(tensors, folder / f"{case}.answer.safetensors")


def main(write: Callable[[Path], None], read: Callable[[Path], None] | None = None) -> None:
    """`python SCRIPT write DIR` or `python SCRIPT read DIR`."""
    command, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    step = {"write": write, "read": read}[command]
    assert step is not None, f"{command} is not for this library"
    step(folder)
