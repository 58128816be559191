"""Fitting on synthetic sums of known directions: what is there is found, and a stop changes nothing."""

from __future__ import annotations

import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.fitting import TopKConfig, TopKTrainer, geometric_median
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.normalize import Normalization
from autointerp.dictionaries.topk import decode_sparse, select_topk
from autointerp.errors import AutointerpError

D_IN, CONCEPTS, ACTIVE = 32, 48, 3


def synthetic(n: int, seed: int, outliers: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of a few of 48 unit directions, with noise, and `outliers` dimensions a hundred times larger."""
    directions = F.normalize(torch.randn(CONCEPTS, D_IN, generator=torch.Generator().manual_seed(99)), dim=1)
    draw = torch.Generator().manual_seed(seed)
    chosen = torch.rand(n, CONCEPTS, generator=draw).topk(ACTIVE, dim=1).indices
    strength = 1 + torch.rand(n, ACTIVE, generator=draw)
    x = torch.zeros(n, CONCEPTS).scatter_(1, chosen, strength) @ directions
    x = x + 0.02 * torch.randn(n, D_IN, generator=draw)
    x[:, :outliers] = 100 * torch.randn(n, outliers, generator=draw) + 50
    return x, directions


def config(**more: int) -> TopKConfig:
    values = {"num_latents": 64, "k": ACTIVE, "tokens": 16_384, "passes": 8, "batch": 128, "dead_after": 5000}
    return TopKConfig(**{**values, **more}, rate=3e-3)  # type: ignore[arg-type]


def fit(acts: torch.Tensor, given: TopKConfig, rounds: int = 2, normalize: bool = True) -> TopKTrainer:
    trainer = TopKTrainer(acts.shape[1], given)
    if not normalize:
        trainer.normalization = Normalization(torch.zeros(acts.shape[1]), torch.ones(acts.shape[1]))
    for part in acts.chunk(rounds):
        trainer.train_round(part)
    return trainer


@pytest.fixture(scope="module")
def fitted() -> TopKTrainer:
    return fit(synthetic(16_384, 0)[0], config())


def test_known_directions_are_found(fitted: TopKTrainer) -> None:
    held_out, directions = synthetic(2000, 1)
    dictionary = fitted.dictionary()
    cosines = directions @ F.normalize(dictionary.directions, dim=1).T
    assert (cosines.max(1).values > 0.9).float().mean() > 0.95
    figures = Reconstruction(D_IN)
    figures.update(dictionary, held_out)
    assert figures.fvu < 0.06
    assert 2.5 < figures.l0 <= ACTIVE


def test_decoder_rows_stay_unit_in_normalised_space(fitted: TopKTrainer) -> None:
    assert torch.allclose(fitted.W_dec.norm(dim=1), torch.ones(64), atol=1e-5)
    assert fitted.normalization is not None
    raw = fitted.dictionary().directions / fitted.normalization.std
    assert torch.allclose(raw.norm(dim=1), torch.ones(64), atol=1e-5)


def test_the_folded_dictionary_is_the_trainer(fitted: TopKTrainer) -> None:
    acts = synthetic(300, 5)[0] * 7 + 3
    assert fitted.normalization is not None
    mean, std = fitted.normalization.mean.double(), fitted.normalization.std.double()
    W_enc, b_enc, W_dec, b_dec = (p.detach().double() for p in fitted.parameters)
    centered = (acts.double() - mean) / std - b_dec
    code = select_topk(centered @ W_enc + b_enc, ACTIVE)
    expected = (decode_sparse(code, W_dec) + b_dec) * std + mean
    dictionary = fitted.dictionary()
    for name in ("W_enc", "b_enc", "W_dec", "b_dec"):
        setattr(dictionary, name, getattr(dictionary, name).double())
    pre = (acts.double() - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
    assert torch.allclose(select_topk(pre, ACTIVE).latent_acts, code.latent_acts, rtol=1e-4, atol=1e-4)
    assert torch.allclose(dictionary.decode(select_topk(pre, ACTIVE)), expected, rtol=1e-4, atol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_folding_is_exact_in_double(seed: int, scale: float, shift: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    normal = Normalization(
        torch.randn(5, generator=draw).double() + shift, torch.rand(5, generator=draw).double() * scale + 1e-3
    )
    W_enc, W_dec = torch.randn(5, 8, generator=draw).double(), torch.randn(8, 5, generator=draw).double()
    b_enc, b_dec = torch.randn(8, generator=draw).double(), torch.randn(5, generator=draw).double()
    x = torch.randn(6, 5, generator=draw).double() * normal.std * 3 + normal.mean
    inner = ((x - normal.mean) / normal.std - b_dec) @ W_enc + b_enc
    W_raw, b_raw, D_raw, b_out = normal.fold(W_enc, b_enc, W_dec, b_dec)
    assert torch.allclose((x - b_out) @ W_raw + b_raw, inner, rtol=1e-6, atol=1e-6)
    code = inner.clamp_min(0)
    assert torch.allclose(code @ D_raw + b_out, (code @ W_dec + b_dec) * normal.std + normal.mean, rtol=1e-9, atol=1e-9)


def test_a_dimension_that_never_moves_is_left_alone() -> None:
    acts = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    acts[:, 1] = 4.0
    normal = Normalization.measure(acts)
    assert normal.std[1] == 1 and torch.equal(normal.apply(acts)[:, 1], torch.zeros(100))
    assert torch.isfinite(normal.apply(acts)).all()


def test_outlier_dimensions_kill_latents_only_without_normalisation() -> None:
    acts = synthetic(16_384, 0, outliers=2)[0]
    held_out = synthetic(4000, 1, outliers=2)[0]

    def alive(trainer: TopKTrainer) -> float:
        code = trainer.dictionary().encode(held_out)
        return len(set(code.latent_indices[code.latent_acts > 0].tolist())) / 64

    with_norm, without = alive(fit(acts, config(passes=3))), alive(fit(acts, config(passes=3), normalize=False))
    assert with_norm > 0.9, with_norm
    assert without < 0.6, without


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_stop_between_rounds_changes_no_bit(stop: int) -> None:
    parts = synthetic(4096, 3)[0].chunk(4)
    given = config(tokens=4096, passes=2, dead_after=500)
    whole = TopKTrainer(D_IN, given)
    for part in parts:
        whole.train_round(part)
    first = TopKTrainer(D_IN, given)
    for part in parts[:stop]:
        first.train_round(part)
    buffer = io.BytesIO()
    torch.save(first.state_dict(), buffer)
    second = TopKTrainer(D_IN, given)
    second.load_state_dict(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    for part in parts[stop:]:
        second.train_round(part)
    assert whole.dead == second.dead
    for one, two in zip(whole.dictionary().state()[1].values(), second.dictionary().state()[1].values(), strict=True):
        assert torch.equal(one, two)


def test_the_seed_decides_everything() -> None:
    acts = synthetic(1024, 3)[0]
    one, same, other = (fit(acts, config(tokens=1024, passes=1, seed=s)).dictionary() for s in (1, 1, 2))
    assert torch.equal(one.W_enc, same.W_enc) and not torch.equal(one.W_enc, other.W_enc)


def test_nothing_fitted_is_no_dictionary() -> None:
    with pytest.raises(ValueError, match="nothing was fitted"):
        TopKTrainer(4, config()).dictionary()


def test_a_loss_that_is_not_finite_stops_the_fit() -> None:
    acts = synthetic(512, 0)[0]
    acts[5, 5] = float("nan")
    with pytest.raises(AutointerpError, match="not finite"):
        TopKTrainer(D_IN, config()).train_round(acts)


def test_geometric_median_shrugs_off_outliers() -> None:
    points = torch.cat(
        [torch.randn(99, 3, generator=torch.Generator().manual_seed(0)) * 0.1 + 2, torch.full((1, 3), 1e4)]
    )
    assert torch.allclose(geometric_median(points), torch.full((3,), 2.0), atol=0.1)
    assert points.mean(0)[0] > 50
