"""Pursuit against plain loops over rows and atoms, and what must hold of every code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries import correlations, pursuit
from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.pursuit import gradient_pursuit, matching_pursuit
from tests.waits import waits

MODES = ("exact", "fast")


def problem(seed: int, n: int = 12, d: int = 10, m: int = 40, shared: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that are sums of a few of 2 d hidden directions, and other such rows, of norm 1, as atoms.

    With `shared`, all atoms lean towards one direction: a step then clips more often.
    """
    draw = torch.Generator().manual_seed(seed)
    hidden = F.normalize(torch.randn(2 * d, d, generator=draw, dtype=torch.float64), dim=1)

    def rows(count: int) -> torch.Tensor:
        weight = torch.empty(count, 2 * d, dtype=torch.float64).exponential_(generator=draw)
        weight *= torch.rand(count, 2 * d, generator=draw) < 0.2
        return weight @ hidden + 0.1 * torch.randn(count, d, generator=draw, dtype=torch.float64)

    x, atoms = rows(n), F.normalize(rows(m), dim=1)
    return x, F.normalize(atoms + shared / d**0.5, dim=1)


def loops(x: torch.Tensor, atoms: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Exact mode, a row at a time with dense weights [n, m]; and whether a row was ever clipped."""
    dense, clipped = torch.zeros(len(x), len(atoms), dtype=x.dtype), torch.zeros(len(x), dtype=torch.bool)
    for i, row in enumerate(x):
        floor = 8 * torch.finfo(x.dtype).eps * row.norm()
        w = dense[i]
        for _ in range(k):
            r = row - w @ atoms
            g = atoms @ r
            support = w > 0
            best = g.argmax()
            if g[best] > floor:
                support[best] = True
            d = g * support
            if d.abs().max() <= floor:
                continue
            c = d @ atoms
            moved = w + (c @ r) / (c @ c) * d
            p = moved.relu() - w
            t = 1.0
            if (moved < 0).any():
                clipped[i] = True
                t = min(1.0, float((p @ g) / (p @ atoms).square().sum()))
            w += t * p
    return dense, clipped


def textbook(x: torch.Tensor, atoms: torch.Tensor, k: int) -> list[torch.Tensor]:
    """Gradient pursuit with a plain relu, as it is written down; the weights after each step."""
    w, steps = torch.zeros(len(x), len(atoms), dtype=x.dtype), []
    for _ in range(k):
        r = x - w @ atoms
        g = r @ atoms.T
        best, atom = g.max(1, keepdim=True)
        support = (w > 0) | (best > 0) & torch.zeros_like(w, dtype=torch.bool).scatter(1, atom, True)
        d = g * support
        c = d @ atoms
        step = (c * r).sum(1) / c.square().sum(1).clamp_min(1e-300)
        w = (w + step[:, None] * d).relu()
        steps.append(w)
    return steps


def dense_of(code: SparseCode, m: int) -> torch.Tensor:
    """The code as weights [n, m]."""
    weights = torch.zeros(len(code.latent_acts), m, dtype=code.latent_acts.dtype)
    return weights.scatter_add(1, code.latent_indices, code.latent_acts)


def left(x: torch.Tensor, atoms: torch.Tensor, code: SparseCode) -> torch.Tensor:
    """The norm [n] of what the code leaves over."""
    return (x - dense_of(code, len(atoms)) @ atoms).norm(dim=1)


def check_form(code: SparseCode, n: int, m: int, k: int) -> None:
    """What the contract says of every code."""
    acts, indices = code
    assert acts.shape == indices.shape == (n, k)
    assert indices.dtype == torch.int64
    assert bool((acts >= 0).all())
    assert bool((acts[:, 1:] <= acts[:, :-1]).all())
    assert bool((indices[acts == 0] == 0).all())
    assert bool((indices >= 0).all())
    for row, act in zip(indices, acts, strict=True):
        fired = row[act > 0]
        assert len(fired.unique()) == len(fired)
        assert bool((fired < m).all())


@pytest.fixture(params=["gram", "products"])
def either_way(request, monkeypatch):
    """Once with the Gram matrix, once as if it were too large."""
    if request.param == "products":
        monkeypatch.setattr(correlations, "GRAM_BYTES", 0)
    return request.param


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shared", [0, 1])
def test_exact_is_the_loop(either_way, seed, shared):
    x, atoms = problem(seed, n=12, shared=shared)
    for k in (1, 4, 14):
        code = gradient_pursuit(x, atoms, k)
        expected, _ = loops(x, atoms, k)
        check_form(code, len(x), len(atoms), k)
        got = dense_of(code, len(atoms))
        torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9)
        assert torch.equal(got > 0, expected > 0)


def test_exact_is_the_textbook_where_nothing_is_clipped():
    x, atoms = problem(3, n=150, shared=1)
    k = 9
    expected, clipped = loops(x, atoms, k)
    assert 0 < int(clipped.sum()) < 100, "the problem has rows of both sorts"
    got = dense_of(gradient_pursuit(x, atoms, k), len(atoms))
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(got[~clipped], textbook(x, atoms, k)[-1][~clipped], rtol=1e-7, atol=1e-9)


def test_a_plain_relu_would_let_the_residual_grow():
    x, atoms = problem(0, n=4000, d=3, shared=1)
    k = 12
    plain = torch.stack([(x - w @ atoms).norm(dim=1) for w in textbook(x, atoms, k)])
    rising = ((plain[1:] - plain[:-1]) > 0.01).any(0).nonzero()[:, 0]
    assert len(rising)
    ours = torch.stack([left(x, atoms, gradient_pursuit(x, atoms, j)) for j in range(1, k + 1)])
    assert bool((ours[1:] <= ours[:-1] + 1e-12).all())
    got = dense_of(gradient_pursuit(x[rising], atoms, k), len(atoms))
    torch.testing.assert_close(got, loops(x[rising], atoms, k)[0], rtol=1e-6, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 9), st.integers(1, 25), st.integers(1, 12))
def test_whatever_the_problem(seed, d, m, k):
    """Greedy: a larger k goes on from a smaller one's code, so the residuals of k and k - 1 are those of two steps."""
    x, atoms = problem(seed, n=5, d=d, m=m)
    size = x.norm(dim=1)
    for mode in MODES:
        code = gradient_pursuit(x, atoms, k, mode)
        check_form(code, len(x), m, k)
        assert bool((left(x, atoms, code) <= size + 1e-12).all())
    if k > 1:
        before = left(x, atoms, gradient_pursuit(x, atoms, k - 1))
        assert bool((left(x, atoms, gradient_pursuit(x, atoms, k)) <= before + 1e-12).all())
    # The best of the atoms alone is the least that any of them may reach.
    alone = left(x, atoms, gradient_pursuit(x, atoms, 1))
    best = (size.square() - (x @ atoms.T).amax(1).relu().square()).clamp_min(0).sqrt()
    torch.testing.assert_close(alone, best, rtol=1e-6, atol=1e-7)
    signed = matching_pursuit(x, atoms, k)
    check_form(signed, len(x), 2 * m, k)
    before = left(x, torch.cat([atoms, -atoms]), matching_pursuit(x, atoms, k - 1)) if k > 1 else size
    assert bool((left(x, torch.cat([atoms, -atoms]), signed) <= before + 1e-12).all())


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 12))
def test_no_refit_lets_the_residual_grow(seed, size):
    x, atoms = problem(seed, n=4, d=6, m=size)
    draw = torch.Generator().manual_seed(seed)
    w = torch.rand(4, size, generator=draw, dtype=torch.float64) * 3
    inner = (atoms @ atoms.T).expand(4, -1, -1)
    used = torch.ones_like(w, dtype=torch.bool)
    before = (x - w @ atoms).norm(dim=1)
    for steps in range(1, 8):
        after = pursuit._refit(inner, x @ atoms.T, w, used, steps)
        now = (x - after @ atoms).norm(dim=1)
        assert bool((after >= 0).all())
        assert bool((now <= before + 1e-9).all())
        before = now


@pytest.mark.parametrize("mode", MODES)
def test_a_single_atom_is_recovered(either_way, mode):
    _, atoms = problem(1)
    weight = torch.arange(1, len(atoms) + 1, dtype=torch.float64)
    code = gradient_pursuit(weight[:, None] * atoms, atoms, 3, mode)
    torch.testing.assert_close(code.latent_acts[:, 0], weight, rtol=1e-12, atol=0)
    assert code.latent_indices[:, 0].tolist() == list(range(len(atoms)))
    # `fast` may hold other atoms with what rounding leaves to them.
    assert float(code.latent_acts[:, 1:].max()) < 1e-9 * len(atoms)


@pytest.mark.parametrize("mode", MODES)
def test_orthogonal_atoms_give_the_coefficients(either_way, mode):
    weights = torch.zeros(3, 8, dtype=torch.float64)
    weights[0, [1, 4, 6]] = torch.tensor([0.5, 3.0, 2.0], dtype=torch.float64)
    weights[1, 2] = 1e-9
    weights[2, :5] = -1
    code = gradient_pursuit(weights, torch.eye(8, dtype=torch.float64), 4, mode)
    torch.testing.assert_close(dense_of(code, 8), weights.relu(), rtol=1e-12, atol=1e-15)
    assert code.latent_indices[0].tolist() == [4, 6, 1, 0]
    assert code.latent_indices[2].tolist() == [0] * 4


@pytest.mark.parametrize("mode", MODES)
def test_what_nothing_helps_is_coded_as_nothing(either_way, mode):
    _, atoms = problem(2, d=4, m=20)
    atoms = atoms.abs()
    x = torch.cat([torch.zeros(2, 4, dtype=torch.float64), -atoms[:3], atoms[:1]])
    acts, indices = gradient_pursuit(x, atoms, 5, mode)
    assert not acts[:5].any()
    assert not indices[:5].any()
    assert float(acts[5, 0]) == pytest.approx(1)
    assert int(indices[5, 0]) == 0


@pytest.mark.parametrize("mode", MODES)
def test_duplicates_change_nothing_but_the_name(either_way, mode):
    x, atoms = problem(4, d=16)
    twice = atoms.repeat(2, 1)
    code = gradient_pursuit(x, twice, 6, mode)
    check_form(code, len(x), len(twice), 6)
    if mode == "exact":
        alone = dense_of(gradient_pursuit(x, atoms, 6), len(atoms))
        both = dense_of(code, len(twice))
        torch.testing.assert_close(both[:, : len(atoms)] + both[:, len(atoms) :], alone, rtol=1e-7, atol=1e-9)
    else:
        assert float((left(x, twice, code) / x.norm(dim=1)).mean()) < 0.6


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("m", [1, 2, 5])
def test_fewer_atoms_than_slots(either_way, mode, m):
    x, atoms = problem(5, m=m)
    code = gradient_pursuit(x, atoms, 9, mode)
    check_form(code, len(x), m, 9)
    assert not code.latent_acts[:, m:].any()
    if mode == "exact":
        torch.testing.assert_close(dense_of(code, m), loops(x, atoms, 9)[0], rtol=1e-7, atol=1e-9)


def test_nothing_to_code():
    x, atoms = problem(6)
    for mode in MODES:
        assert [t.shape for t in gradient_pursuit(x[:0], atoms, 3, mode)] == [(0, 3)] * 2
        acts, indices = gradient_pursuit(x, atoms[:0], 3, mode)
        assert acts.shape == indices.shape == (len(x), 3)
        assert not acts.any()
        assert not indices.any()
    assert [t.shape for t in matching_pursuit(x[:0], atoms, 3)] == [(0, 3)] * 2
    assert not matching_pursuit(x, atoms[:0], 3).latent_acts.any()


@pytest.mark.parametrize("pursue", [*MODES, "matching"])
def test_a_row_is_coded_alike_in_any_company(pursue):
    x, atoms = problem(7, n=50, d=12, m=100)

    def encode(rows: torch.Tensor, chunk: int | None = None) -> SparseCode:
        if pursue == "matching":
            return matching_pursuit(rows, atoms, 7, chunk=chunk)
        return gradient_pursuit(rows, atoms, 7, pursue, chunk=chunk)

    whole = encode(x)
    for chunk in (1, 7, 50, 1000):
        parts = encode(x, chunk=chunk)
        assert torch.equal(parts.latent_indices, whole.latent_indices)
        torch.testing.assert_close(parts.latent_acts, whole.latent_acts, rtol=1e-9, atol=1e-12)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    mixed = encode(x[order])
    assert torch.equal(mixed.latent_indices, whole.latent_indices[order])
    alone = [encode(x[i : i + 1]) for i in range(5)]
    assert torch.equal(torch.cat([c.latent_indices for c in alone]), whole.latent_indices[:5])
    torch.testing.assert_close(torch.cat([c.latent_acts for c in alone]), whole.latent_acts[:5], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("m", [63, 64, 65, 300])
def test_a_given_gram_matrix_changes_nothing(m):
    x, atoms = problem(8, m=m, d=30)
    gram = atoms @ atoms.T
    for mode in MODES:
        given_, made = gradient_pursuit(x, atoms, 6, mode, gram=gram), gradient_pursuit(x, atoms, 6, mode)
        assert torch.equal(given_.latent_indices, made.latent_indices)
        torch.testing.assert_close(given_.latent_acts, made.latent_acts, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("mode", MODES)
def test_dtypes(either_way, mode, dtype):
    x, atoms = (t.to(dtype) for t in problem(9, n=40, d=32, m=100))
    code = gradient_pursuit(x, atoms, 8, mode)
    check_form(code, 40, 100, 8)
    assert code.latent_acts.dtype == torch.float32
    # The rounded inputs are what is coded, in float32 at least.
    precise = gradient_pursuit(x.double(), atoms.double(), 8, mode)
    assert precise.latent_acts.dtype == torch.float64
    assert float((code.latent_indices == precise.latent_indices).double().mean()) > 0.97
    ours, best = (
        left(x.double(), atoms.double(), SparseCode(code.latent_acts.double(), code.latent_indices)),
        left(x.double(), atoms.double(), precise),
    )
    assert float((ours / best).mean()) == pytest.approx(1, abs=2e-3)


def test_scale_is_only_scale():
    x, atoms = problem(10)
    for mode in MODES:
        code, small = gradient_pursuit(x, atoms, 5, mode), gradient_pursuit(1e-20 * x, atoms, 5, mode)
        assert torch.equal(code.latent_indices, small.latent_indices)
        torch.testing.assert_close(small.latent_acts, 1e-20 * code.latent_acts, rtol=1e-9, atol=0)


def test_fast_ends_close_to_exact():
    x, atoms = problem(11, n=300, d=64, m=512)
    for k in (4, 8, 16, 32):
        exact, fast = (left(x, atoms, gradient_pursuit(x, atoms, k, mode)).square().sum() for mode in MODES)
        assert float(fast / exact) < 1.02, k


def test_matching_pursuit_is_the_loop(either_way):
    x, atoms = problem(12, n=20, d=5, m=9)
    k, repeated = 12, 0
    weights = torch.zeros(len(x), len(atoms), dtype=x.dtype)
    for i, row in enumerate(x):
        r = row.clone()
        for _ in range(k):
            g = atoms @ r
            a = int(g.abs().argmax())
            repeated += int(weights[i, a] != 0)
            weights[i, a] += g[a]
            r -= g[a] * atoms[a]
    assert repeated > 20
    code = matching_pursuit(x, atoms, k)
    check_form(code, len(x), 2 * len(atoms), k)
    both = dense_of(code, 2 * len(atoms))
    torch.testing.assert_close(both[:, :9] - both[:, 9:], weights, rtol=1e-7, atol=1e-9)
    assert not (both[:, :9] * both[:, 9:]).any()


def test_what_cannot_be_coded_is_refused():
    x, atoms = problem(13)
    with pytest.raises(ValueError, match="atom 3 has norm 2"):
        gradient_pursuit(x, torch.cat([atoms[:3], 2 * atoms[3:]]), 4)
    with pytest.raises(ValueError, match="atom 0 has norm 0"):
        matching_pursuit(x, torch.zeros_like(atoms), 4)
    with pytest.raises(ValueError, match="norm nan"):
        gradient_pursuit(x, atoms * torch.nan, 4)
    with pytest.raises(ValueError, match="not finite"):
        gradient_pursuit(x / 0, atoms, 4)
    with pytest.raises(ValueError, match="k is 0"):
        gradient_pursuit(x, atoms, 0)
    with pytest.raises(ValueError, match="are not"):
        gradient_pursuit(x[:, 1:], atoms, 4)
    with pytest.raises(ValueError, match="gram"):
        gradient_pursuit(x, atoms, 4, gram=torch.eye(3))
    with pytest.raises(ValueError, match="no mode 'slow'"):
        gradient_pursuit(x, atoms, 4, "slow")  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu():
    x, atoms = problem(14, n=60, d=16, m=200)
    for mode in MODES:
        here, there = gradient_pursuit(x, atoms, 6, mode), gradient_pursuit(x.cuda(), atoms.cuda(), 6, mode)
        assert torch.equal(here.latent_indices, there.latent_indices.cpu())
        torch.testing.assert_close(here.latent_acts, there.latent_acts.cpu(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("with_gram", [True, False])
def test_exact_pursuit_is_the_same_where_rows_are_not_asked_for(
    monkeypatch: pytest.MonkeyPatch, with_gram: bool
) -> None:
    atoms = F.normalize(torch.randn(200, 24, generator=torch.Generator().manual_seed(1)), dim=1)
    x = torch.randn(150, 24, generator=torch.Generator().manual_seed(2))
    gram = correlations.wide_gram(atoms) if with_gram else None
    asked = pursuit.pursue(x, atoms, 16, "exact", gram, chunk=40)
    monkeypatch.setattr(pursuit, "ASKED", set())
    with waits() as found:
        code = pursuit.pursue(x, atoms, 16, "exact", gram, chunk=40)
    assert not found
    assert all(torch.equal(mine, other) for mine, other in zip(code, asked, strict=True))


@pytest.mark.parametrize("encoder", ["exact", "fast", "matching"])
def test_a_row_that_is_not_finite_has_a_code_of_nan_and_harms_no_other(encoder: pursuit.Encoder) -> None:
    atoms = F.normalize(torch.randn(70, 12, generator=torch.Generator().manual_seed(1)), dim=1)
    x = torch.randn(9, 12, generator=torch.Generator().manual_seed(2))
    damaged = x.clone()
    damaged[2, 3], damaged[5, 0] = torch.nan, torch.inf
    well, ill = (pursuit.pursue(rows, atoms, 4, encoder, correlations.wide_gram(atoms)) for rows in (x, damaged))
    others = [0, 1, 3, 4, 6, 7, 8]
    assert torch.equal(well.latent_acts[others], ill.latent_acts[others])
    assert ill.latent_acts[[2, 5]].isnan().all()
    assert not ill.latent_indices[[2, 5]].any()
