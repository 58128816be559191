"""Readouts find what is linear, thresholds are the best ones, and neither depends on how cells were batched."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autointerp.experiments.readouts import RIDGES, Moments, Thresholds, best_ridge, one_hot, overlaps


def planted(n: int = 2000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs of unlike scales, of which the third alone says the first target."""
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=draw) * torch.tensor([1.0, 50.0, 0.1, 1.0, 3.0, 0.0]) + 7
    y = torch.stack([x[:, 2] > 7.05, torch.rand(n, generator=draw) < 0.3], 1)
    return x, y


def test_a_readout_is_ridge_regression_of_scaled_inputs() -> None:
    x, y = planted()
    moments = Moments()
    for part in range(0, 2000, 300):
        moments.add(x[part : part + 300], y[part : part + 300])
    for ridge in RIDGES:
        found = moments.solve(ridge)
        live = x[:, :5].double()
        z = (live - live.mean(0)) / live.std(0, unbiased=False)
        t = y.double()
        w = torch.linalg.solve(z.T @ z / 2000 + ridge * torch.eye(5), z.T @ (t - t.mean(0)) / 2000)
        assert torch.allclose(found.scores(x).double(), z @ w + t.mean(0), atol=2e-3)
    # A constant input has no say.
    assert found.weights[5].abs().max() == 0


def test_the_inputs_that_say_most_come_first_and_others_have_no_say() -> None:
    x, y = planted()
    moments = Moments()
    moments.add(x, y)
    assert moments.strongest(3)[0] == 2
    assert 5 not in moments.strongest(5)
    few = moments.solve(0.01, moments.strongest(1))
    assert few.weights.abs().sum(1).nonzero().flatten().tolist() == [2]
    said = few.scores(x)[:, 0] > 0.5
    assert (said == y[:, 0]).double().mean() > 0.9


def test_the_threshold_is_the_one_of_the_best_iou() -> None:
    rng = np.random.default_rng(1)
    truth = rng.random((900, 2)) < 0.2
    scores = torch.from_numpy(truth * 0.4 + rng.normal(0.2, 0.15, truth.shape))
    found = Thresholds(2)
    found.add(scores[:500], truth[:500])
    found.add(scores[500:], truth[500:])
    at, iou = found.best()
    for target in range(2):
        tried = []
        for threshold in np.linspace(-0.5, 1.5, 401):
            said = scores[:, target].numpy() >= threshold
            tried.append((said & truth[:, target]).sum() / max((said | truth[:, target]).sum(), 1))
        assert iou[target] == pytest.approx(max(tried), abs=0.01)
        said = scores[:, target].numpy() >= at[target]
        assert (said & truth[:, target]).sum() / (said | truth[:, target]).sum() == pytest.approx(iou[target])


def test_a_target_that_never_holds_has_no_iou() -> None:
    found = Thresholds(1)
    found.add(torch.zeros(5, 1), np.zeros((5, 1), bool))
    assert np.isnan(found.best()[1]).all()
    good = Thresholds(1)
    good.add(torch.tensor([[0.0], [1.0]]), np.array([[False], [True]]))
    assert best_ridge([found, good], slice(None)) == 1


def test_overlaps_are_counted_by_picture() -> None:
    truth = np.array([[1], [1], [0], [0], [1], [0]], bool)
    scores = torch.tensor([[0.9], [0.1], [0.9], [0.1], [0.9], [0.1]])
    both, either = overlaps(scores, np.array([0.5]), truth, 2)
    assert both.tolist() == [[1], [1]]
    assert either.tolist() == [[3], [1]]


def test_values_as_columns() -> None:
    assert one_hot(np.array([0, -1, 2]), 3).tolist() == [[True, False, False], [False] * 3, [False, False, True]]
