"""Encoding and decoding against dense arithmetic, for every kind of dictionary."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.baselines import RandomDirections
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary, SparseCode
from autointerp.dictionaries.storage import KINDS, load_dictionary, save_dictionary
from autointerp.dictionaries.topk import TopK, decode_sparse, select_topk


def make(kind: str, d_in: int = 6, num_latents: int = 20, k: int = 4, seed: int = 0) -> TopK:
    draw = torch.Generator().manual_seed(seed)
    if kind == "random":
        normal = Normalization(torch.randn(d_in, generator=draw), torch.rand(d_in, generator=draw) + 0.5)
        return RandomDirections.draw(normal, num_latents, k, seed)
    return TopK(
        torch.randn(d_in, num_latents, generator=draw),
        0.1 * torch.randn(num_latents, generator=draw),
        torch.randn(num_latents, d_in, generator=draw),
        torch.randn(d_in, generator=draw),
        k,
    )


def dense(code: SparseCode, num_latents: int) -> torch.Tensor:
    full = torch.zeros(len(code.latent_acts), num_latents, dtype=torch.float64)
    for n in range(len(full)):
        for act, index in zip(code.latent_acts[n].tolist(), code.latent_indices[n].tolist(), strict=True):
            full[n, index] += act
    return full


def check_code(code: SparseCode, n: int, k: int, num_latents: int) -> None:
    acts, indices = code
    assert acts.shape == indices.shape == (n, k)
    assert indices.dtype == torch.int64
    assert (acts >= 0).all() and torch.isfinite(acts).all()
    assert (acts[:, :-1] >= acts[:, 1:]).all()
    assert ((indices >= 0) & (indices < num_latents)).all()
    assert (indices[acts == 0] == 0).all()
    for row, used in zip(indices, acts > 0, strict=True):
        assert len(set(row[used].tolist())) == int(used.sum())


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
    assert not code.latent_acts.any() and not code.latent_indices.any()
    dictionary = make("topk")
    empty = SparseCode(torch.zeros(2, 4), torch.zeros(2, 4, dtype=torch.int64))
    assert torch.equal(dictionary.decode(empty), dictionary.b_dec.expand(2, -1))


@pytest.mark.parametrize("kind", sorted(KINDS))
class TestContract:
    """What holds for every kind: a new one is a class and a line in KINDS, and must pass here."""

    def test_is_a_dictionary(self, kind: str) -> None:
        dictionary = make(kind)
        assert isinstance(dictionary, Dictionary)
        assert dictionary.kind == kind and KINDS[kind] is type(dictionary)
        assert (dictionary.d_in, dictionary.num_latents, dictionary.k) == (6, 20, 4)
        assert dictionary.directions.shape == (20, 6)
        assert dictionary.to("cpu") is dictionary

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("n", [0, 1, 50])
    def test_codes(self, kind: str, n: int, dtype: torch.dtype) -> None:
        dictionary = make(kind)
        acts = torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
        code = dictionary.encode(acts)
        check_code(code, n, 4, 20)
        rebuilt = dictionary.decode(code)
        assert rebuilt.shape == (n, 6) and rebuilt.dtype == torch.float32
        expected = dense(code, 20) @ dictionary.directions.double() + dictionary.b_dec.double()
        assert torch.allclose(rebuilt.double(), expected, atol=1e-4)

    def test_encode_is_the_naive_encoder(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
        pre = (acts - dictionary.b_dec).double() @ dictionary.W_enc.double() + dictionary.b_enc.double()
        kept = torch.where(pre >= pre.topk(4).values[:, -1:], pre, 0).clamp_min(0)
        assert torch.allclose(dense(dictionary.encode(acts), 20), kept, atol=1e-4)

    def test_a_cell_is_encoded_alone_as_in_a_batch(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(9, 6, generator=torch.Generator().manual_seed(3))
        together = dictionary.encode(acts)
        for n in range(9):
            alone = dictionary.encode(acts[n : n + 1])
            assert torch.equal(alone.latent_indices[0], together.latent_indices[n])
            assert torch.allclose(alone.latent_acts[0], together.latent_acts[n], atol=1e-5)

    def test_stored_and_loaded_it_is_the_same(self, kind: str, tmp_path) -> None:
        dictionary = make(kind)
        digest = save_dictionary(dictionary, tmp_path, {"layer": "mid"})
        again = load_dictionary(tmp_path)
        assert type(again) is type(dictionary) and len(digest) == 64
        acts = torch.randn(8, 6, generator=torch.Generator().manual_seed(4))
        one, two = dictionary.encode(acts), again.encode(acts)
        assert torch.equal(one.latent_acts, two.latent_acts) and torch.equal(one.latent_indices, two.latent_indices)
        assert torch.equal(dictionary.decode(one), again.decode(two))
        assert save_dictionary(again, tmp_path / "copy", {}) == digest


def test_random_directions_follow_from_the_seed() -> None:
    normal = Normalization(torch.zeros(5), torch.tensor([1.0, 2.0, 0.5, 10.0, 1.0]))
    one, same, other = (RandomDirections.draw(normal, 12, 3, seed) for seed in (7, 7, 8))
    assert torch.equal(one.W_enc, same.W_enc) and not torch.equal(one.W_enc, other.W_enc)
    # In normalised space, reading and writing directions are one unit vector.
    assert torch.allclose((one.W_dec / normal.std).norm(dim=1), torch.ones(12), atol=1e-6)
    assert torch.allclose(one.W_enc * normal.std[:, None], (one.W_dec / normal.std).T, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 30), min_size=1, max_size=4), st.floats(0.1, 50))
def test_reconstruction_figures_match_numpy(seed: int, sizes: list[int], offset: float) -> None:
    dictionary = make("topk", seed=seed % 1000)
    acts = torch.randn(sum(sizes), 6, generator=torch.Generator().manual_seed(seed)) + offset
    figures = Reconstruction(6)
    for part in acts.split(sizes):
        figures.update(dictionary, part)
    code = dictionary.encode(acts)
    x, rebuilt = acts.double().numpy(), dictionary.decode(code).double().numpy()
    variance = ((x - x.mean(0)) ** 2).sum()
    if len(x) > 1:
        assert figures.fvu == pytest.approx(((x - rebuilt) ** 2).sum() / variance, rel=1e-3)
    assert figures.l0 == pytest.approx((code.latent_acts.numpy() > 0).sum(1).mean())


def test_the_mean_alone_leaves_all_variance() -> None:
    acts = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    nothing = TopK(torch.zeros(6, 4), torch.zeros(4), torch.zeros(4, 6), acts.mean(0), 2)
    figures = Reconstruction(6)
    figures.update(nothing, acts)
    assert figures.fvu == pytest.approx(1.0, abs=1e-5) and figures.l0 == 0
