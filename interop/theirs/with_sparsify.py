"""sparsify: its own coder and loader. SAeUron writes the same files."""

from __future__ import annotations

from pathlib import Path

import torch
from exchange import D, K, N, answer, cases, main, randomize, state
from sparsify import SparseCoder, SparseCoderConfig


def _encode(coder: SparseCoder):
    def encode(x: torch.Tensor) -> torch.Tensor:
        found = coder.encode(x)
        return torch.zeros(len(x), coder.num_latents).scatter(-1, found.top_indices, found.top_acts)

    return encode


def _decode(coder: SparseCoder):
    def decode(acts: torch.Tensor) -> torch.Tensor:
        best = acts.topk(coder.cfg.k, dim=-1)
        return coder.decode(best.values, best.indices)

    return decode


def write(folder: Path) -> None:
    """A coder whose size is given, and one whose size follows from its width."""
    for case, size in {"num_latents": {"num_latents": N}, "expansion_factor": {"expansion_factor": N // D}}.items():
        coder = SparseCoder(D, SparseCoderConfig(k=K, **size))
        randomize(coder, 1)
        coder.save_to_disk(folder / case)
        state(folder, case, _encode(coder), _decode(coder))


def read(folder: Path) -> None:
    """Our exports through `SparseCoder.load_from_disk`."""
    for case, path, x, acts in cases(folder):
        coder = SparseCoder.load_from_disk(path)
        answer(folder, case, _encode(coder)(x), _decode(coder)(acts))


main(write, read)
