from __future__ import annotations

import torch
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.protocol import SparseCode
from autointerp.dictionaries.sparse import decode_sparse, fired_latents, joined, select_topk, times_fired
from tests.dictionaries.made import check_code, dense, make
from tests.waits import waits


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(0, 9), st.integers(1, 12), st.integers(1, 12), st.floats(0.01, 100))
def test_select_and_decode_match_dense_arithmetic(seed: int, n: int, k: int, more: int, scale: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    pre_acts = scale * (torch.randn(n, k + more, generator=draw) - 0.5)
    W_dec = torch.randn(k + more, 5, generator=draw)
    code = select_topk(pre_acts, k)
    check_code(code, n, k, k + more)
    kept = torch.zeros(n, k + more, dtype=torch.float64)
    for i in range(n):
        for j in sorted(range(k + more), key=lambda j: -float(pre_acts[i, j]))[:k]:
            kept[i, j] = max(float(pre_acts[i, j]), 0.0)
    assert torch.equal(dense(code, k + more), kept)
    assert torch.allclose(decode_sparse(code, W_dec).double(), kept @ W_dec.double(), rtol=1e-4, atol=1e-4 * scale)


def test_no_positive_pre_activation_gives_an_empty_code() -> None:
    code = select_topk(-torch.rand(3, 7) - 0.1, 2)
    assert not code.latent_acts.any()
    assert not code.latent_indices.any()
    dictionary = make("topk")
    empty = SparseCode(torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.int64))
    assert torch.equal(dictionary.decode(empty), dictionary.b_dec.expand(2, -1))


def test_latents_that_fire_are_counted_without_asking() -> None:
    acts = torch.tensor([[2.0, 1.0, 0.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    code = SparseCode(acts, torch.tensor([[4, 1, 0], [4, 0, 0], [0, 0, 0]]))
    with waits() as found:
        fired, times = fired_latents(code, 6), times_fired(code, 6)
    assert not found
    assert fired.tolist() == [False, True, False, False, True, False]
    assert times.tolist() == [0, 1, 0, 0, 2, 0]
    assert times_fired(SparseCode(acts[:0], code.latent_indices[:0]), 6).tolist() == [0] * 6


def test_codes_of_any_width_stand_below_each_other() -> None:
    one = SparseCode(torch.tensor([[2.0]]), torch.tensor([[3]]))
    two = SparseCode(torch.tensor([[5.0, 4.0]]), torch.tensor([[1, 2]]))
    assert joined([one, two]).latent_acts.tolist() == [[2, 0], [5, 4]]
    assert joined([one, two]).latent_indices.tolist() == [[3, 0], [1, 2]]
