"""Sparse codes over given atoms: non-negative gradient pursuit, and signed matching pursuit, for many rows at once.

Gradient pursuit is Blumensath & Davies, "Gradient Pursuits" (IEEE Transactions on Signal Processing 56(6), 2008), with
positive coefficients. ITDA dictionaries encode with it or with matching pursuit: arXiv 2505.17769, and
arXiv 2505.24360 for a text-to-image transformer.

What is fast here is that the product of the residuals with all atoms is formed once, not once a step. Afterwards the
correlations change by the coefficients' changes times rows of the atoms' Gram matrix: at most k rows of m numbers for
each row of `x` and step, where the product takes d of them. No dense [n, m] code is made.
"""

from __future__ import annotations

import math
from typing import Literal

import torch

from autointerp.dictionaries.correlations import (
    bag,
    bag_of_some,
    correlate,
    first_correlations,
    inner_products,
    largest,
    rows_at_a_time,
    top,
    worthwhile_gram,
)
from autointerp.dictionaries.protocol import SparseCode

Mode = Literal["exact", "fast"]

Encoder = Literal["exact", "fast", "matching"]
"""`exact` and `fast`: the modes of gradient pursuit; `matching`: the signed matching pursuit of the original code."""

ASKED = {"cpu", "mps"}
"""Devices that are asked which rows are concerned: on the first it takes no waiting, the second has not all kernels."""

UNIT = 0.01
"""How far an atom's norm may be from 1: more than half precision rounds it off by, less than changes a choice much."""

BATCH, LEAST_ROUNDS = 4, 4
"""Atoms that a round of mode "fast" chooses, or as many fewer as make it take the least number of rounds."""

CANDIDATES = 4
"""Candidates that a round of mode "fast" looks at for each atom it chooses."""

REFITS, LAST_REFITS = 2, 10
"""Steps of projected gradient on the chosen atoms after each round of mode "fast", and after the last one."""


def gradient_pursuit(
    x: torch.Tensor,
    atoms: torch.Tensor,
    k: int,
    mode: Mode = "exact",
    *,
    gram: torch.Tensor | None = None,
    chunk: int | None = None,
) -> SparseCode:
    """Code rows as non-negative sums of at most k atoms, chosen greedily.

    Mode "exact" is gradient pursuit with one atom a step. From w = 0, k times: r = x - w D; g = D r; the support S is
    where w > 0, and argmax g if that g is positive; d = g on S, 0 elsewhere; c = d D; step = <c, r> / <c, c>;
    p = relu(w + step d) - w; w += t p. Here t = 1, the textbook's step, unless clipping makes that one too long: then
    t = <p, g> / |p D|^2 if less than 1, the best point on the way to the clipped one. So the residual never grows. An
    atom clipped to 0 leaves S and may come back. Correlations of less than 8 roundings of |x| count as 0.

    Mode "fast" chooses four atoms a round, fewer if k is less than 16. Each round takes the atoms with the largest
    correlations as candidates, four for each place, chooses among them by matching pursuit (so that two alike are not
    both chosen for the same part of the residual) and refits all coefficients with a few projected gradient steps. Its
    residual never grows from round to round either. How far it ends from that of mode "exact" depends on the data;
    docs/performance.md has figures.

    Args:
        x: Finite rows [n, d] of any float dtype.
        atoms: Rows [m, d] of norm 1, on the same device.
        k: Atoms of a row at most; may exceed m.
        mode: "exact" or "fast".
        gram: `atoms @ atoms.T` [m, m] if it is at hand, in the dtype computed in. Otherwise it is made where it is
            worth it and takes at most `GRAM_BYTES`, in each call: give it if there are many. Without it every step (or
            round) multiplies anew, which is slower and the same but for rounding.
        chunk: Rows to work on at a time; what is right for the device by default.

    Returns:
        The code: activations and indices [n, k]. It is computed in float32, or in float64 if `x` or `atoms` are.

    Raises:
        ValueError: Shapes do not fit, k is less than 1, `x` is not finite, an atom's norm is not within 1% of 1, or
            there is no such mode.
    """
    if mode not in ("exact", "fast"):
        raise ValueError(f"no mode {mode!r}: there are 'exact' and 'fast'")
    x, atoms = _checked(x, atoms, k)
    return pursue(x, atoms, k, mode, worthwhile_gram(atoms, gram, len(x) * k), chunk)


def matching_pursuit(
    x: torch.Tensor,
    atoms: torch.Tensor,
    k: int,
    *,
    gram: torch.Tensor | None = None,
    chunk: int | None = None,
) -> SparseCode:
    """Code rows as signed sums of at most k atoms by matching pursuit, as the ITDA of arXiv 2505.17769 does.

    k times: the atom with the largest absolute correlation takes all of it, r -= <r, atom> atom. An atom may be taken
    again; its coefficients add up.

    Args:
        x: Finite rows [n, d] of any float dtype.
        atoms: Rows [m, d] of norm 1, on the same device.
        k: Steps, so atoms of a row at most.
        gram: As for `gradient_pursuit`.
        chunk: As for `gradient_pursuit`.

    Returns:
        The code [n, k] over 2 m latents, which keeps activations non-negative: index i is a positive coefficient of
        atom i, index m + i a negative one, and the activation is its absolute value. Decode it with
        `torch.cat([atoms, -atoms])`.

    Raises:
        ValueError: As for `gradient_pursuit`.
    """
    x, atoms = _checked(x, atoms, k)
    return pursue(x, atoms, k, "matching", worthwhile_gram(atoms, gram, len(x) * k), chunk)


@torch.no_grad()
def pursue(
    x: torch.Tensor, atoms: torch.Tensor, k: int, encoder: Encoder, wide: torch.Tensor | None, chunk: int | None = None
) -> SparseCode:
    """Code rows by gradient or matching pursuit without checking anything, and so without waiting for the device.

    Args:
        x: Rows [n, d]; one that is not finite gets a code of NaN.
        atoms: Rows [m, d] of norm 1, on the same device and of the same dtype.
        k: Atoms of a row at most.
        encoder: How.
        wide: The Gram matrix as `wide_gram` makes it; None multiplies rows with atoms in each step.
        chunk: Rows to work on at a time; what is right for the device by default.
    """
    code = {"exact": _exact, "fast": _fast, "matching": _matching}[encoder]
    weights, indices = x.new_zeros(len(x), k), torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
    if len(x) and len(atoms):
        rows, damaged = chunk or rows_at_a_time(x, len(atoms)), ~x.isfinite().all(1, keepdim=True)
        for start in range(0, len(x), rows):
            part = slice(start, start + rows)
            # A search for the largest of what is no number would give indices of no atom.
            code(x[part].masked_fill(damaged[part], 0), atoms, wide, weights[part], indices[part])
        weights.masked_fill_(damaged, torch.nan)
    if encoder != "matching":
        return _sorted(weights, indices)
    return _sorted(weights.abs(), torch.where(weights < 0, indices + len(atoms), indices))


def check_atoms(atoms: torch.Tensor) -> None:
    """Raise `ValueError` where the norm of an atom [m, d] is not within 1% of 1."""
    norms = atoms.norm(dim=1)
    _refuse_norms(norms, bool(_wrong(norms).any()))


def _wrong(norms: torch.Tensor) -> torch.Tensor:
    return ((norms - 1).abs() <= UNIT).logical_not()


def _refuse_norms(norms: torch.Tensor, wrong: bool) -> None:
    if wrong:
        first = int(_wrong(norms).nonzero()[0])
        raise ValueError(f"atom {first} has norm {float(norms[first]):.4g}; atoms are rows of norm 1")


def _checked(x: torch.Tensor, atoms: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Check the inputs, and return them in the dtype to compute in."""
    if x.ndim != 2 or atoms.ndim != 2 or x.shape[1] != atoms.shape[1]:
        raise ValueError(f"x {tuple(x.shape)} and atoms {tuple(atoms.shape)} are not [n, d] and [m, d]")
    if k < 1:
        raise ValueError(f"k is {k}; a code has at least one slot")
    dtype = torch.promote_types(torch.promote_types(x.dtype, atoms.dtype), torch.float32)
    x, atoms = x.detach().to(dtype), atoms.detach().to(dtype).contiguous()
    norms = atoms.norm(dim=1)
    finite, wrong = torch.stack([x.isfinite().all(), _wrong(norms).any()]).tolist()  # One read, so one wait.
    if not finite:
        raise ValueError("x is not finite")
    _refuse_norms(norms, wrong)
    return x, atoms


def _exact(
    x: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, weights: torch.Tensor, indices: torch.Tensor
) -> None:
    """Code a chunk by gradient pursuit into `weights` and `indices` [n, k], which hold zeros.

    Slot j is step j's atom.
    """
    k, tiny = weights.shape[1], torch.finfo(x.dtype).tiny
    g, floor = first_correlations(x, atoms)
    residual = x.clone() if gram is None else x
    for j in range(k):
        best, atom = largest(g)
        indices[:, j] = atom
        support, w = indices[:, : j + 1].contiguous(), weights[:, : j + 1]
        on = w > 0
        on[:, j] = (best > floor) & ~((support == atom[:, None]) & on).any(1)
        d = g.gather(1, support).masked_fill_(~on, 0)
        d *= d.abs().amax(1, keepdim=True) > floor[:, None]
        # The step needs the image of d. It is taken from the Gram matrix where the next step reads all correlations.
        table = atoms if gram is None or j == k - 1 else gram
        image = bag(support, d, table)
        squared = d.square().sum(1)
        step = squared / _norm2(image, d, support, table is gram).clamp_min(tiny)
        moved = w + step[:, None] * d
        p = moved.relu() - w
        # Clipping changes the direction of the step, which may then be too long. Stop at the best point on its line.
        bent = (moved < 0).any(1)
        if x.device.type in ASKED:
            rows = bent.nonzero()[:, 0]
            if len(rows):
                line, s = p[rows], support[rows]
                again = bag(s, line, table)
                t = _best_point(again, line, d[rows], s, table is gram)
                image[rows], step[rows], p[rows] = again, t, line * t[:, None]
        else:
            again = bag_of_some(bent, support, p, table)
            t = _best_point(again, p, d, support, table is gram)
            image, step = torch.where(bent[:, None], again, image), torch.where(bent, t, step)
            p = torch.where(bent[:, None], p * t[:, None], p)
        w += p
        if j == k - 1:
            break
        if gram is None:
            residual.addcmul_(image, step[:, None], value=-1)
            correlate(residual, atoms, g)
        else:
            g.addcmul_(image, step[:, None], value=-1)


def _best_point(
    image: torch.Tensor, p: torch.Tensor, d: torch.Tensor, support: torch.Tensor, by_gram: bool
) -> torch.Tensor:
    """Return how far to go along `p` [n, s], at most all of the way, [n]; `image` is that of p."""
    tiny = torch.finfo(p.dtype).tiny
    return ((p * d).sum(1) / _norm2(image, p, support, by_gram).clamp_min(tiny)).clamp_max(1)


def _norm2(image: torch.Tensor, d: torch.Tensor, support: torch.Tensor, by_gram: bool) -> torch.Tensor:
    """Return the squared norm [n] of the sum of atoms with weights `d` [n, s], from its image."""
    return (image.gather(1, support) * d).sum(1) if by_gram else image.square().sum(1)


def _fast(
    x: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, weights: torch.Tensor, indices: torch.Tensor
) -> None:
    """Code a chunk in rounds of several atoms into `weights` and `indices` [n, k], which hold zeros."""
    n, k = len(x), min(weights.shape[1], len(atoms))
    first, floor = first_correlations(x, atoms)
    g = first if gram is not None else first.clone()
    used = torch.zeros(n, k, dtype=torch.bool, device=x.device)
    target, inner = x.new_zeros(n, k), x.new_zeros(n, k, k)
    batch = min(BATCH, math.ceil(k / LEAST_ROUNDS))
    for begin in range(0, k, batch):
        end = min(begin + batch, k)
        atom, used[:, begin:end] = _choose(g, atoms, gram, end - begin, floor)
        indices[:, begin:end] = atom
        support = indices[:, :end].contiguous()
        target[:, begin:end] = first.gather(1, atom)
        block = inner_products(atoms, gram, atom, support)
        inner[:, begin:end, :end] = block
        inner[:, :end, begin:end] = block.transpose(1, 2)
        steps = REFITS if end < k else LAST_REFITS
        w = _refit(inner[:, :end, :end], target[:, :end], weights[:, :end], used[:, :end], steps)
        weights[:, :end] = w
        if end < k:
            if gram is None:
                correlate(x - bag(support, w, atoms), atoms, g)
            else:
                g = bag(support, w, gram).neg_().add_(first)
            # Chosen atoms are not chosen again, but still rank before the columns that hold no atom.
            g.scatter_(1, support, torch.finfo(g.dtype).min)


def _choose(
    g: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, count: int, floor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Choose the next atoms [n, count] by matching pursuit among those of large correlation; say which are of use."""
    value, candidates = top(g, min(CANDIDATES * count, len(atoms)))
    atom = torch.empty(len(g), count, dtype=torch.int64, device=g.device)
    good = torch.empty(len(g), count, dtype=torch.bool, device=g.device)
    for i in range(count):
        best, place = value.max(1, keepdim=True)
        atom[:, i : i + 1] = candidates.gather(1, place)
        good[:, i : i + 1] = best > floor[:, None]
        if i + 1 < count:
            alike = inner_products(atoms, gram, atom[:, i : i + 1], candidates)[:, 0]
            value.addcmul_(alike, best.relu(), value=-1)
            value.scatter_(1, place, -torch.inf)
    return atom, good


def _refit(inner: torch.Tensor, target: torch.Tensor, w: torch.Tensor, used: torch.Tensor, steps: int) -> torch.Tensor:
    """Improve non-negative weights `w` [n, s] by projected gradient steps, none of which lets the residual grow."""
    tiny = torch.finfo(w.dtype).tiny
    g = target - torch.bmm(inner, w[:, :, None])[:, :, 0]
    for _ in range(steps):
        d = g.masked_fill(~(used & ((w > 0) | (g > 0))), 0)
        image = torch.bmm(inner, d[:, :, None])[:, :, 0]
        step = d.square().sum(1, keepdim=True) / (image * d).sum(1, keepdim=True).clamp_min(tiny)
        p = (w + step * d).relu() - w
        image = torch.bmm(inner, p[:, :, None])[:, :, 0]
        t = ((p * g).sum(1, keepdim=True) / (image * p).sum(1, keepdim=True).clamp_min(tiny)).clamp(0, 1)
        w = w + t * p
        g = g - t * image
    return w


def _matching(
    x: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, weights: torch.Tensor, indices: torch.Tensor
) -> None:
    """Code a chunk by matching pursuit into signed `weights` and `indices` [n, k], which hold zeros."""
    k = weights.shape[1]
    g, _ = first_correlations(x, atoms)
    g[:, len(atoms) :] = 0
    residual = x.clone() if gram is None else x
    size = torch.empty_like(g)
    for j in range(k):
        _, atom = largest(torch.abs(g, out=size))
        coefficient = g.gather(1, atom[:, None])
        taken = (indices[:, :j] == atom[:, None]).int()
        # An atom that was taken before keeps its slot.
        slot = torch.cat([taken, torch.ones_like(atom[:, None], dtype=taken.dtype)], 1).argmax(1, keepdim=True)
        indices.scatter_(1, slot, atom[:, None])
        weights.scatter_add_(1, slot, coefficient)
        if j == k - 1:
            break
        if gram is None:
            residual -= coefficient * atoms[atom]
            correlate(residual, atoms, g)
        else:
            g.addcmul_(gram[atom], coefficient, value=-1)


def _sorted(weights: torch.Tensor, indices: torch.Tensor) -> SparseCode:
    """Sort each row by weight, largest first; a slot without weight gets index 0."""
    acts, order = weights.sort(dim=1, descending=True)
    return SparseCode(acts, indices.gather(1, order).masked_fill_((acts > 0).logical_not_(), 0))
