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
import torch.nn.functional as F

from autointerp.dictionaries.protocol import SparseCode

Mode = Literal["exact", "fast"]

GRAM_BYTES = 1 << 30
"""The largest Gram matrix that is made unasked: 16,384 atoms in float32."""

CORRELATIONS = {"cpu": 3 << 20, "cuda": 1 << 27}
"""Correlations held at a time on each kind of device; rows come in chunks of this many divided by m."""

UNIT = 0.01
"""How far an atom's norm may be from 1: more than half precision rounds it off by, less than changes a choice much."""

BLOCK = 64
"""Correlations are searched by the maxima of blocks of this many, several times as fast as entry by entry."""

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
    pursue = _exact if mode == "exact" else _fast
    weights, indices = x.new_zeros(len(x), k), torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
    if len(x) and len(atoms):
        with torch.no_grad():
            wide = _wide_gram(atoms, gram, len(x) * k)
            rows = chunk or _rows(x, len(atoms))
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                pursue(x[part], atoms, wide, weights[part], indices[part])
    return _sorted(weights, indices)


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
    weights, indices = x.new_zeros(len(x), k), torch.zeros(len(x), k, dtype=torch.int64, device=x.device)
    if len(x) and len(atoms):
        with torch.no_grad():
            wide = _wide_gram(atoms, gram, len(x) * k)
            rows = chunk or _rows(x, len(atoms))
            for start in range(0, len(x), rows):
                part = slice(start, start + rows)
                _matching(x[part], atoms, wide, weights[part], indices[part])
    return _sorted(weights.abs(), torch.where(weights < 0, indices + len(atoms), indices))


def _checked(x: torch.Tensor, atoms: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The inputs in the dtype to compute in."""
    if x.ndim != 2 or atoms.ndim != 2 or x.shape[1] != atoms.shape[1]:
        raise ValueError(f"x {tuple(x.shape)} and atoms {tuple(atoms.shape)} are not [n, d] and [m, d]")
    if k < 1:
        raise ValueError(f"k is {k}; a code has at least one slot")
    dtype = torch.promote_types(torch.promote_types(x.dtype, atoms.dtype), torch.float32)
    x, atoms = x.detach().to(dtype), atoms.detach().to(dtype).contiguous()
    if not bool(x.isfinite().all()):
        raise ValueError("x is not finite")
    norms = atoms.norm(dim=1)
    wrong = ((norms - 1).abs() <= UNIT).logical_not().nonzero()
    if len(wrong):
        first = int(wrong[0])
        raise ValueError(f"atom {first} has norm {float(norms[first]):.4g}; atoms are rows of norm 1")
    return x, atoms


def _rows(x: torch.Tensor, m: int) -> int:
    """Rows to work on at a time."""
    return max(16, CORRELATIONS.get(x.device.type, CORRELATIONS["cuda"]) // m)


def _width(m: int) -> int:
    """m, rounded up to whole blocks."""
    return math.ceil(m / BLOCK) * BLOCK


def _wide_gram(atoms: torch.Tensor, gram: torch.Tensor | None, uses: int) -> torch.Tensor | None:
    """The Gram matrix [m, _width(m)] with columns of 0 at the end, or None if it is too large or used too little.

    `uses` is how many residuals would be multiplied with all atoms without it, one a row and step; the Gram matrix
    takes m such products. Mode "fast" has fewer steps, but gathers the atoms themselves in each of them without it.
    """
    m = len(atoms)
    if gram is not None:
        if gram.shape != (m, m):
            raise ValueError(f"gram {tuple(gram.shape)} is not [{m}, {m}]")
        gram = gram.detach().to(atoms)
        return F.pad(gram, (0, _width(m) - m)) if _width(m) > m else gram.contiguous()
    if uses < 2 * m or m * _width(m) * atoms.element_size() > GRAM_BYTES:
        return None
    wide = atoms.new_zeros(m, _width(m))
    torch.mm(atoms, atoms.T, out=wide[:, :m])
    return wide


def _correlate(rows: torch.Tensor, atoms: torch.Tensor, out: torch.Tensor) -> None:
    """Write `rows @ atoms.T` into `out` [n, _width(m)], whose columns at the end stay as they are."""
    torch.mm(rows, atoms.T, out=out[:, : len(atoms)])


def _start(x: torch.Tensor, atoms: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Correlations of `x` [n, _width(m)], -inf past the last atom, and what counts as 0 among them [n]."""
    g = x.new_full((len(x), _width(len(atoms))), -torch.inf)
    _correlate(x, atoms, g)
    return g, 8 * torch.finfo(x.dtype).eps * x.norm(dim=1)


def _bag(indices: torch.Tensor, weights: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """Weighted sums of rows of `table` [.., c], [n, s] of them to [n, c]."""
    return F.embedding_bag(indices, table, per_sample_weights=weights, mode="sum")


def _largest(g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The largest entry of each row [n] and its index [n], the first of equals."""
    blocks = g.view(len(g), -1, BLOCK)
    best, block = blocks.amax(2).max(1)
    within = blocks.gather(1, block[:, None, None].expand(-1, 1, BLOCK))[:, 0].argmax(1)
    return best, block * BLOCK + within


def _exact(
    x: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, weights: torch.Tensor, indices: torch.Tensor
) -> None:
    """Gradient pursuit of a chunk; fills `weights` and `indices` [n, k], which hold zeros. A slot is a step's atom."""
    k, tiny = weights.shape[1], torch.finfo(x.dtype).tiny
    g, floor = _start(x, atoms)
    residual = x.clone() if gram is None else x
    for j in range(k):
        best, atom = _largest(g)
        indices[:, j] = atom
        support, w = indices[:, : j + 1].contiguous(), weights[:, : j + 1]
        on = w > 0
        on[:, j] = (best > floor) & ~((support == atom[:, None]) & on).any(1)
        d = torch.where(on, g.gather(1, support), 0)
        d *= d.abs().amax(1, keepdim=True) > floor[:, None]
        # The image of d is what the step needs: of the Gram matrix where the next step reads all correlations.
        table = atoms if gram is None or j == k - 1 else gram
        image = _bag(support, d, table)
        squared = d.square().sum(1)
        step = squared / _norm2(image, d, support, table is gram).clamp_min(tiny)
        moved = w + step[:, None] * d
        p = moved.relu() - w
        rows = (moved < 0).any(1).nonzero()[:, 0]
        if len(rows):
            # Clipping bends the step, and a bent one may be too long: stop at the best point on its straight line.
            bent, s = p[rows], support[rows]
            again = _bag(s, bent, table)
            down = (bent * d[rows]).sum(1)
            t = (down / _norm2(again, bent, s, table is gram).clamp_min(tiny)).clamp_max(1)
            image[rows], step[rows] = again, t
            p[rows] = bent * t[:, None]
        w += p
        if j == k - 1:
            break
        if gram is None:
            residual.addcmul_(image, step[:, None], value=-1)
            _correlate(residual, atoms, g)
        else:
            g.addcmul_(image, step[:, None], value=-1)


def _norm2(image: torch.Tensor, d: torch.Tensor, support: torch.Tensor, by_gram: bool) -> torch.Tensor:
    """Squared norm [n] of the sum of atoms with weights `d` [n, s], from its image under atoms or Gram matrix."""
    return (image.gather(1, support) * d).sum(1) if by_gram else image.square().sum(1)


def _fast(
    x: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, weights: torch.Tensor, indices: torch.Tensor
) -> None:
    """Pursuit in rounds of several atoms; fills `weights` and `indices` [n, k], which hold zeros."""
    n, k = len(x), min(weights.shape[1], len(atoms))
    first, floor = _start(x, atoms)
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
        block = _inner(atoms, gram, atom, support)
        inner[:, begin:end, :end] = block
        inner[:, :end, begin:end] = block.transpose(1, 2)
        steps = REFITS if end < k else LAST_REFITS
        w = _refit(inner[:, :end, :end], target[:, :end], weights[:, :end], used[:, :end], steps)
        weights[:, :end] = w
        if end < k:
            if gram is None:
                _correlate(x - _bag(support, w, atoms), atoms, g)
            else:
                g = _bag(support, w, gram).neg_().add_(first)
            # Out of the choice, yet before the columns that are no atoms.
            g.scatter_(1, support, torch.finfo(g.dtype).min)


def _choose(
    g: torch.Tensor, atoms: torch.Tensor, gram: torch.Tensor | None, count: int, floor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next atoms [n, count] by matching pursuit among those with large correlations, and which are any use."""
    value, candidates = _top(g, min(CANDIDATES * count, len(atoms)))
    atom = torch.empty(len(g), count, dtype=torch.int64, device=g.device)
    good = torch.empty(len(g), count, dtype=torch.bool, device=g.device)
    for i in range(count):
        best, place = value.max(1, keepdim=True)
        atom[:, i : i + 1] = candidates.gather(1, place)
        good[:, i : i + 1] = best > floor[:, None]
        if i + 1 < count:
            alike = _inner(atoms, gram, atom[:, i : i + 1], candidates)[:, 0]
            value.addcmul_(alike, best.relu(), value=-1)
            value.scatter_(1, place, -torch.inf)
    return atom, good


def _top(g: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The `count` largest entries of each row and their indices [n, count], in any order."""
    size = 16
    blocks = g.view(len(g), size, -1)
    if 2 * count > blocks.shape[2]:
        return g.topk(count, dim=1, sorted=False)
    # They lie in as many blocks, those with the largest maxima. A block's entries lie apart: its maximum is then one of
    # whole rows of numbers, which is several times as fast.
    block = blocks.amax(1).topk(count, dim=1, sorted=False).indices
    value, place = blocks.gather(2, block[:, None].expand(-1, size, -1)).flatten(1).topk(count, 1, sorted=False)
    return value, place // count * blocks.shape[2] + block.gather(1, place % count)


def _inner(atoms: torch.Tensor, gram: torch.Tensor | None, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Inner products [n, a, b] of the atoms `left` [n, a] and `right` [n, b]."""
    if gram is None:
        return torch.bmm(atoms[left], atoms[right].transpose(1, 2))
    places = (left * gram.shape[1])[:, :, None] + right[:, None]
    return gram.view(-1).index_select(0, places.flatten()).view(places.shape)


def _refit(inner: torch.Tensor, target: torch.Tensor, w: torch.Tensor, used: torch.Tensor, steps: int) -> torch.Tensor:
    """Better non-negative weights [n, s]: projected gradient steps from `w`, none of which lets the residual grow."""
    tiny = torch.finfo(w.dtype).tiny
    g = target - torch.bmm(inner, w[:, :, None])[:, :, 0]
    for _ in range(steps):
        d = torch.where(used & ((w > 0) | (g > 0)), g, 0)
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
    """Matching pursuit of a chunk; fills signed `weights` and `indices` [n, k], which hold zeros."""
    k = weights.shape[1]
    g, _ = _start(x, atoms)
    g[:, len(atoms) :] = 0
    residual = x.clone() if gram is None else x
    size = torch.empty_like(g)
    for j in range(k):
        _, atom = _largest(torch.abs(g, out=size))
        coefficient = g.gather(1, atom[:, None])
        taken = (indices[:, :j] == atom[:, None]).int()
        # An atom that was taken before has a slot already.
        slot = torch.cat([taken, torch.ones_like(atom[:, None], dtype=taken.dtype)], 1).argmax(1, keepdim=True)
        indices.scatter_(1, slot, atom[:, None])
        weights.scatter_add_(1, slot, coefficient)
        if j == k - 1:
            break
        if gram is None:
            residual -= coefficient * atoms[atom]
            _correlate(residual, atoms, g)
        else:
            g.addcmul_(gram[atom], coefficient, value=-1)


def _sorted(weights: torch.Tensor, indices: torch.Tensor) -> SparseCode:
    """Largest first; what has no weight holds index 0."""
    acts, order = weights.sort(dim=1, descending=True)
    return SparseCode(acts, torch.where(acts > 0, indices.gather(1, order), 0))
