from __future__ import annotations

import pytest
import torch

from autointerp.dictionaries.baselines import (
    PCA,
    Neurons,
    RandomDirections,
    random_activations,
    spherical_means,
)
from autointerp.dictionaries.normalize import Normalization


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
    assert rebuilt[0, 1] == pytest.approx(250.0, abs=1e-2)
    assert rebuilt[0, 0] == pytest.approx(float(units.mean[0]))


def test_random_directions_follow_from_the_seed() -> None:
    normal = Normalization.scaled(torch.zeros(5), torch.tensor([1.0, 2.0, 0.5, 10.0, 1.0]))
    one, same, other = (RandomDirections.draw(normal, 12, 3, seed) for seed in (7, 7, 8))
    assert torch.equal(one.W_enc, same.W_enc)
    assert not torch.equal(one.W_enc, other.W_enc)
    # In normalised space, reading and writing directions are one unit vector.
    assert torch.allclose((one.W_dec / normal.back).norm(dim=1), torch.ones(12), atol=1e-6)
    assert torch.allclose(one.W_enc * normal.back[:, None], (one.W_dec / normal.back).T, atol=1e-6)


def test_scaled_components_compete_by_their_own_deviations() -> None:
    draw = torch.Generator().manual_seed(0)
    acts = torch.randn(4000, 3, generator=draw) * torch.tensor([1.0, 50.0, 2.0]) + 7
    raw, scaled = PCA.measure(acts, 100, 1), PCA.measure_scaled(acts, 100, 1)

    def first(pca: PCA) -> float:
        return float((pca.encode(acts).latent_indices < 2).float().mean())

    assert first(raw) > 0.9
    assert 0.25 < first(scaled) < 0.4
    dense = PCA.measure_scaled(acts, 100, 6)
    assert torch.allclose(dense.decode(dense.encode(acts)), acts, atol=1e-3)
    code = dense.encode(acts)
    fires = code.latent_acts > 0
    of_each = [code.latent_acts[fires & (code.latent_indices == latent)] for latent in range(6)]
    assert all(0.9 < float((one**2).mean().sqrt()) < 1.1 for one in of_each)
    assert PCA.measure_scaled(acts, 4, 9).num_latents == 4


def test_a_component_without_spread_makes_no_latent() -> None:
    acts = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    flat = torch.cat([acts, acts.sum(1, keepdim=True), torch.ones(500, 1)], 1)
    assert PCA.measure_scaled(flat, 100, 2).num_latents == 4


def test_random_activations_are_directions_of_what_was_seen() -> None:
    acts = torch.randn(50, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1
    one, same, other = (random_activations(acts, 12, 3, seed) for seed in (7, 7, 8))
    assert torch.equal(one.W_enc, same.W_enc)
    assert not torch.equal(one.W_enc, other.W_enc)
    assert one.num_latents == 12
    assert random_activations(acts, 100, 3, 0).num_latents == 50
    # Each direction is that of an activation: this one fires most for it, at its own length in normalised space.
    normal = Normalization.measure(acts)
    everyone = random_activations(acts, 50, 1, 0)
    code = everyone.encode(acts)
    lengths = normal.apply(acts).norm(dim=1)
    assert torch.allclose(code.latent_acts[:, 0], lengths, atol=1e-4)


def test_means_lie_in_the_middle_of_what_points_the_same_way() -> None:
    draw = torch.Generator().manual_seed(0)
    centres = torch.eye(6)[[0, 2, 4]]
    of = torch.arange(900) % 3
    acts = centres[of] * (1 + torch.rand(900, 1, generator=draw)) + 0.02 * torch.randn(900, 6, generator=draw)
    means = spherical_means(acts, 3, 1, 0)
    assert torch.equal(means.W_enc, spherical_means(acts, 3, 1, 0).W_enc)
    fired = means.encode(acts).latent_indices[:, 0]
    assert all(len(fired[of == c].unique()) == 1 for c in range(3))
    assert len(fired.unique()) == 3
    assert spherical_means(acts[:5], 20, 2, 0).num_latents == 5
