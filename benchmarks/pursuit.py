"""Pursuit: gradient pursuit of both modes against a transcription of the textbook, and against bare dense products.

The transcription keeps dense weights [n, m] and forms every product anew, for all rows at once. It and mode "exact"
choose the same atoms, but for rounding, and reach the same share of unexplained variance (FVU). Timed are the codes and
the rows rebuilt from them. The dense products are those of the residuals with all atoms, one a step, which nobody can
avoid who forms them anew.

The data: 4 d hidden directions, the frequent ones much more so than the rare. A row is a sum of 12 of them with
exponential weights, plus noise of a tenth of the weights' norm. The atoms are 8 d other such rows, made unit norm, as
ITDA takes rows of its data. Everything is in float32. The Gram matrix is made anew in each timed run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from benchmarks.pairs import Row, interleave

PAIRS = 6
SIZES = [(4096, 192, 16), (8192, 512, 32), (16384, 768, 32)]
"""(rows n, width d, atoms of a row k); m = 8 d."""

ROWS = [4096, 1024, 1024]
"""The rows that `make bench` times: the work grows with the rows, and the large sizes take minutes a pair in full."""

QUICK_SIZES = [(128, 32, 8)]
ACTIVE, NOISE = 12, 0.1


def data(n: int, d: int, m: int) -> tuple[Any, Any]:
    """Rows [n, d] and atoms [m, d]."""
    import torch
    import torch.nn.functional as F

    draw = torch.Generator().manual_seed(0)
    hidden = F.normalize(torch.randn(4 * d, d, generator=draw), dim=1)
    frequency = (torch.arange(4 * d) + 10.0) ** -0.7

    def rows(count: int) -> torch.Tensor:
        indices = torch.multinomial(frequency.expand(count, -1), ACTIVE, generator=draw)
        weights = torch.empty(count, ACTIVE).exponential_(generator=draw)
        clean = F.embedding_bag(indices, hidden, per_sample_weights=weights, mode="sum")
        return clean + NOISE * weights.norm(dim=1).mean() * torch.randn(count, d, generator=draw) / d**0.5

    return rows(n), F.normalize(rows(m), dim=1)


def textbook(x: Any, atoms: Any, k: int) -> Any:
    """Non-negative gradient pursuit as it is written down; the weights [n, m]."""
    import torch

    w = x.new_zeros(len(x), len(atoms))
    rows = torch.arange(len(x))
    for _ in range(k):
        residual = x - w @ atoms
        g = residual @ atoms.T
        best, atom = g.max(dim=1)
        support = w > 0
        support[rows, atom] |= best > 0
        d = g * support
        c = d @ atoms
        step = (c * residual).sum(1) / c.square().sum(1).clamp_min(1e-12)
        w = (w + step[:, None] * d).relu()
    return w


def products(x: Any, atoms: Any, k: int) -> None:
    """The correlations of k steps, all alike and put in the same place."""
    import torch

    g = x.new_empty(len(x), len(atoms))
    for _ in range(k):
        torch.mm(x, atoms.T, out=g)


def unexplained(x: Any, rebuilt: Any) -> float:
    """The fraction of the variance of `x` that `rebuilt` leaves over."""
    return float((x - rebuilt).square().sum() / (x - x.mean(0)).square().sum())


def run(quick: bool, pairs: int | None = None, full: bool = False) -> list[Row]:
    """Time and FVU of both modes, at every size."""
    sizes = QUICK_SIZES if quick else [(n if full else few, d, k) for (n, d, k), few in zip(SIZES, ROWS, strict=True)]
    return [row for size in sizes for row in compare(*size, pairs or (1 if quick else PAIRS))]


def compare(n: int, d: int, k: int, pairs: int) -> list[Row]:
    """One size."""
    import torch
    import torch.nn.functional as F

    from autointerp.dictionaries.pursuit import gradient_pursuit

    x, atoms = data(n, d, 8 * d)
    fvu: dict[str, float] = {}

    def rebuild(mode: Any) -> Any:
        acts, indices = gradient_pursuit(x, atoms, k, mode)
        return F.embedding_bag(indices, atoms, per_sample_weights=acts, mode="sum")

    ways: dict[str, Callable[[], Any]] = {
        "exact": lambda: rebuild("exact"),
        "fast": lambda: rebuild("fast"),
        "products": lambda: products(x, atoms, k),
        "textbook": lambda: textbook(x, atoms, k) @ atoms,
    }

    def measure(*names: str) -> dict[str, float]:
        seconds = {}
        for name in names:
            begun = time.perf_counter()
            rebuilt = ways[name]()
            seconds[name] = time.perf_counter() - begun
            if rebuilt is not None:
                fvu[name] = unexplained(x, rebuilt)
        return seconds

    with torch.no_grad():
        for mode in ("exact", "fast"):
            gradient_pursuit(x[:64], atoms, k, mode)
        textbook(x[:64], atoms, k)
        mine, other = interleave(pairs, lambda: measure("exact", "fast", "products"), lambda: measure("textbook"))
    times = {name: [one[name] for one in mine] for name in mine[0]} | {"textbook": [one["textbook"] for one in other]}
    at = f"n={n} d={d} m={8 * d} k={k}"
    rows = [
        Row.of("pursuit", f"time, {at}: {a} / {b}", "s", times[a], times[b])
        for a, b in (("exact", "textbook"), ("fast", "textbook"), ("exact", "products"), ("fast", "exact"))
    ]
    return rows + [
        Row.of("pursuit", f"FVU, {at}: {a} / {b}", "", [fvu[a]] * pairs, [fvu[b]] * pairs)
        for a, b in (("exact", "textbook"), ("fast", "exact"))
    ]


if __name__ == "__main__":
    from benchmarks.__main__ import table

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--full", action="store_true", help="all rows of the large sizes")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    options = parser.parse_args()
    print(table(run(False, options.pairs, options.full)))
