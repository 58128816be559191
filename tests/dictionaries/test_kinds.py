"""Encoding and decoding against dense arithmetic, for every kind of dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.baselines import PCA, Neurons, RandomDirections
from autointerp.dictionaries.itda import ITDA, AtomSources
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.protocol import Dictionary, SparseCode
from autointerp.dictionaries.pursuit import gradient_pursuit
from autointerp.dictionaries.sae import StepModulation
from autointerp.dictionaries.sparse import decode_sparse, select_topk
from autointerp.dictionaries.storage import KINDS, load_dictionary, save_dictionary


def make(kind: str, d_in: int = 6, num_latents: int = 20, k: int = 4, seed: int = 0) -> Any:
    """A dictionary of random weights; `neurons` has as many latents as dimensions."""
    draw = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=draw)

    normal = Normalization.scaled(randn(d_in), torch.rand(d_in, generator=draw) + 0.5)
    if kind == "random":
        return RandomDirections.draw(normal, num_latents, k, seed)
    if kind == "pca":
        return PCA.measure(randn(300, d_in) * torch.arange(1, d_in + 1) + 2, num_latents, k)
    if kind == "neurons":
        return Neurons.measure(randn(300, d_in) * 3 + 1, k)
    if kind == "itda":
        atoms = torch.nn.functional.normalize(randn(num_latents, d_in), dim=1)
        place = torch.randint(0, 3, (num_latents, 4), generator=draw)
        return ITDA(atoms, normal, k, "exact", AtomSources(("a", "b", "c"), place, torch.arange(num_latents)))
    own = {
        "jumprelu": {"threshold": torch.rand(num_latents, generator=draw)},
        "batchtopk": {"threshold": torch.tensor(0.7)},
        "gated": {"r_mag": 0.3 * randn(num_latents), "b_mag": 0.3 * randn(num_latents)},
    }.get(kind, {})
    four = randn(d_in, num_latents), 0.1 * randn(num_latents), randn(num_latents, d_in), randn(d_in)
    return KINDS[kind](*four, k, **own)


def naive(dictionary: Any, x: torch.Tensor) -> torch.Tensor:
    """Dense activations float64 [n, num_latents] from the kind's own formula."""
    if dictionary.kind == "neurons":
        pre = ((x - dictionary.mean) / dictionary.std).double()
        return torch.where(pre >= pre.topk(dictionary.k).values[:, -1:], pre, 0).clamp_min(0)
    linear = (x - dictionary.b_dec).double() @ dictionary.W_enc.double()
    pre = linear + dictionary.b_enc.double()
    if dictionary.kind in ("jumprelu", "batchtopk"):
        return pre * (pre > dictionary.threshold.double())
    if dictionary.kind == "relu":
        return pre.clamp_min(0)
    if dictionary.kind == "gated":
        magnitude = linear * dictionary.r_mag.double().exp() + dictionary.b_mag.double()
        return (pre > 0) * magnitude.clamp_min(0)
    return torch.where(pre >= pre.topk(dictionary.k).values[:, -1:], pre, 0).clamp_min(0)


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


def latents_of(kind: str) -> int:
    """How many latents `make` gives; a component has two sides, and a unit is itself."""
    return {"pca": 12, "neurons": 6}.get(kind, 20)


@pytest.mark.parametrize("kind", sorted(KINDS))
class TestContract:
    """What holds for every kind: a new one is a class and a line in KINDS, and must pass here."""

    def test_is_a_dictionary(self, kind: str) -> None:
        dictionary = make(kind)
        latents = latents_of(kind)
        assert isinstance(dictionary, Dictionary)
        assert dictionary.kind == kind and KINDS[kind] is type(dictionary)
        assert (dictionary.d_in, dictionary.num_latents, dictionary.k) == (6, latents, 4)
        assert dictionary.directions.shape == (latents, 6)
        assert dictionary.to("cpu") is dictionary

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
    @pytest.mark.parametrize("n", [0, 1, 50])
    def test_codes(self, kind: str, n: int, dtype: torch.dtype) -> None:
        dictionary = make(kind)
        acts = torch.randn(n, 6, generator=torch.Generator().manual_seed(1)).to(dtype)
        code = dictionary.encode(acts)
        varies = kind in ("jumprelu", "batchtopk", "relu", "gated")
        check_code(code, n, code.latent_acts.shape[1] if varies else 4, latents_of(kind))
        if varies and n:
            assert (code.latent_acts > 0).sum(1).max() == code.latent_acts.shape[1]
        rebuilt = dictionary.decode(code)
        assert rebuilt.shape == (n, 6) and rebuilt.dtype == torch.float32
        nothing = SparseCode(torch.zeros(1, 4), torch.zeros(1, 4, dtype=torch.int64))
        expected = dense(code, latents_of(kind)) @ dictionary.directions.double() + dictionary.decode(nothing).double()
        assert torch.allclose(rebuilt.double(), expected, atol=1e-4)

    def test_encode_is_the_naive_encoder(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(2))
        code = dense(dictionary.encode(acts), latents_of(kind))
        if kind == "itda":
            pursued = gradient_pursuit(dictionary.normalization.apply(acts), dictionary.atoms, 4, mode="exact")
            assert torch.equal(code, dense(pursued, 20))
        else:
            assert torch.allclose(code, naive(dictionary, acts), atol=1e-4)

    def test_a_cell_is_encoded_alone_as_in_a_batch(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(9, 6, generator=torch.Generator().manual_seed(3))
        together = dictionary.encode(acts)
        for n in range(9):
            alone = dictionary.encode(acts[n : n + 1])
            assert torch.allclose(dense(alone, 20), dense(together, 20)[n : n + 1], atol=1e-5)

    def test_stored_and_loaded_it_is_the_same(self, kind: str, tmp_path: Path) -> None:
        dictionary = make(kind)
        digest = save_dictionary(dictionary, tmp_path, {"layer": "mid"})
        again = load_dictionary(tmp_path)
        assert type(again) is type(dictionary) and len(digest) == 64
        acts = torch.randn(8, 6, generator=torch.Generator().manual_seed(4))
        one, two = dictionary.encode(acts), again.encode(acts)
        assert torch.equal(one.latent_acts, two.latent_acts) and torch.equal(one.latent_indices, two.latent_indices)
        assert torch.equal(dictionary.decode(one), again.decode(two))
        assert save_dictionary(again, tmp_path / "copy", {}) == digest
        if kind == "itda":
            assert cast(Any, again).sources.all() == make(kind).sources.all()

    def test_the_step_matters_to_none_that_does_not_say_so(self, kind: str) -> None:
        dictionary = make(kind)
        acts = torch.randn(5, 6, generator=torch.Generator().manual_seed(6))
        assert torch.equal(dictionary.encode(acts, 3).latent_acts, dictionary.encode(acts).latent_acts)


def test_a_modulation_is_stored_and_comes_before_encoding(tmp_path: Path) -> None:
    plain = make("jumprelu")
    scale, shift = torch.rand(2, 6) + 0.5, torch.randn(2, 6)
    told = make("jumprelu")
    told.modulation = StepModulation((3, 7), scale, shift)
    save_dictionary(told, tmp_path, {})
    again = load_dictionary(tmp_path)
    acts = torch.randn(5, 6)
    for row, step in enumerate((3, 7)):
        expected = plain.encode(acts * scale[row] + shift[row])
        assert torch.allclose(again.encode(acts, step).latent_acts, expected.latent_acts)


def test_signed_pursuit_has_two_latents_an_atom() -> None:
    base = make("itda")
    signed = ITDA(base.atoms, base.normalization, 4, "matching")
    assert signed.num_latents == 40 and torch.equal(signed.directions[20:], -signed.directions[:20])
    acts = torch.randn(30, 6, generator=torch.Generator().manual_seed(3))
    code = signed.encode(acts)
    check_code(code, 30, 4, 40)
    assert (code.latent_indices >= 20).any()
    one, two = (
        torch.linalg.norm(base.normalization.apply(d.decode(d.encode(acts))) - base.normalization.apply(acts))
        for d in (signed, base)
    )
    assert one < two


def test_components_are_those_of_the_covariance_with_two_sides() -> None:
    draw = torch.Generator().manual_seed(0)
    acts = torch.randn(4000, 3, generator=draw) * torch.tensor([1.0, 5.0, 2.0]) + 7
    pca = PCA.measure(acts, 100, 9)
    assert (pca.num_latents, pca.k) == (6, 6)
    assert torch.allclose(pca.W_dec[::2].abs(), torch.eye(3)[[1, 2, 0]], atol=0.05)
    assert torch.equal(pca.W_dec[1::2], -pca.W_dec[::2])
    assert torch.allclose(pca.decode(pca.encode(acts)), acts, atol=1e-3)


def test_a_unit_competes_by_its_own_deviation_and_is_rebuilt_in_its_own_scale() -> None:
    acts = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0])
    units = Neurons.measure(acts, 1)
    first = (units.encode(acts).latent_indices == 0).float().mean()
    assert 0.4 < first < 0.8
    rebuilt = units.decode(units.encode(torch.tensor([[0.1, 250.0]])))
    assert rebuilt[0, 1] == pytest.approx(250.0, abs=1e-2) and rebuilt[0, 0] == pytest.approx(float(units.mean[0]))


def test_random_directions_follow_from_the_seed() -> None:
    normal = Normalization.scaled(torch.zeros(5), torch.tensor([1.0, 2.0, 0.5, 10.0, 1.0]))
    one, same, other = (RandomDirections.draw(normal, 12, 3, seed) for seed in (7, 7, 8))
    assert torch.equal(one.W_enc, same.W_enc) and not torch.equal(one.W_enc, other.W_enc)
    # In normalised space, reading and writing directions are one unit vector.
    assert torch.allclose((one.W_dec / normal.back).norm(dim=1), torch.ones(12), atol=1e-6)
    assert torch.allclose(one.W_enc * normal.back[:, None], (one.W_dec / normal.back).T, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 30), min_size=1, max_size=4), st.floats(0.1, 1e4))
def test_reconstruction_figures_match_numpy(seed: int, sizes: list[int], offset: float) -> None:
    dictionary = make("topk", seed=seed % 1000)
    scale = torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0, 0.0])
    acts = torch.randn(sum(sizes), 6, generator=torch.Generator().manual_seed(seed)) * scale + offset
    dictionary.b_dec = acts.mean(0)
    figures = Reconstruction(6, 20)
    for part in acts.split(sizes):
        figures.update(dictionary, part)
    code = dictionary.encode(acts)
    x, y = acts.double().numpy(), dictionary.decode(code).double().numpy()
    assert figures.l0 == pytest.approx((code.latent_acts.numpy() > 0).sum(1).mean())
    fired = {int(i) for i in code.latent_indices[code.latent_acts > 0]}
    assert figures.dead_share == pytest.approx(1 - len(fired) / 20)
    if len(x) < 3:
        return
    moving = x[:, :5]
    rebuilt, error = y[:, :5], x[:, :5] - y[:, :5]
    assert figures.fvu == pytest.approx(((x - y) ** 2).sum() / ((x - x.mean(0)) ** 2).sum(), rel=1e-3)
    assert figures.fvu_normalized == pytest.approx(((error / moving.std(0)) ** 2).mean(), rel=1e-3)
    assert figures.explained_variance == pytest.approx((1 - error.var(0) / moving.var(0)).mean(), rel=1e-3, abs=1e-4)
    r = [np.corrcoef(moving[:, i], rebuilt[:, i])[0, 1] if rebuilt[:, i].std() > 0 else 0.0 for i in range(5)]
    assert figures.r2_mean == pytest.approx(np.mean(np.square(r)), rel=1e-3, abs=1e-4)


def test_each_figure_is_blind_to_what_it_says() -> None:
    acts = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1

    class Fake:
        """What is rebuilt, given outright."""

        def __init__(self, rebuilt: torch.Tensor) -> None:
            self.rebuilt = rebuilt

        def encode(self, acts: torch.Tensor, step: object = None) -> SparseCode:
            return SparseCode(torch.zeros(len(acts), 1), torch.zeros(len(acts), 1, dtype=torch.int64))

        def decode(self, code: SparseCode) -> torch.Tensor:
            return self.rebuilt

    def of(rebuilt: torch.Tensor) -> Reconstruction:
        figures = Reconstruction(6, 4)
        figures.update(Fake(rebuilt), acts)  # type: ignore[arg-type]
        return figures

    mean, shifted, scaled = of(acts.mean(0).expand(500, 6)), of(acts + 2), of(acts * 0.5)
    assert mean.fvu == pytest.approx(1.0, abs=1e-5) and mean.r2_mean == pytest.approx(0, abs=1e-6) and mean.l0 == 0
    assert shifted.fvu > 0.3 and shifted.explained_variance == pytest.approx(1) and shifted.r2_mean == pytest.approx(1)
    assert scaled.explained_variance == pytest.approx(0.75) and scaled.r2_mean == pytest.approx(1)
    assert mean.dead_share == 1 and mean.dense_share == 0
