from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from autointerp.dictionaries import metrics
from autointerp.dictionaries.metrics import Reconstruction
from autointerp.dictionaries.protocol import SparseCode
from tests.dictionaries.made import make
from tests.waits import waits


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
    assert mean.fvu == pytest.approx(1.0, abs=1e-5)
    assert mean.r2_mean == pytest.approx(0, abs=1e-6)
    assert mean.l0 == 0
    assert shifted.fvu > 0.3
    assert shifted.explained_variance == pytest.approx(1)
    assert shifted.r2_mean == pytest.approx(1)
    assert scaled.explained_variance == pytest.approx(0.75)
    assert scaled.r2_mean == pytest.approx(1)
    assert mean.dead_share == 1
    assert mean.dense_share == 0


@pytest.mark.parametrize("wide", [torch.float64, torch.float32])
def test_figures_of_an_accelerator_are_those_of_a_processor(wide: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator computes in float32. One without float64 sums some rows in float32 too, and the rest elsewhere."""
    dictionary = make("topk")
    acts = torch.randn(20_000, 6, generator=torch.Generator().manual_seed(0)) * 30 + 1000
    dictionary.b_dec = acts.mean(0)
    ours = Reconstruction(6, 20)
    ours.update(dictionary, acts)
    monkeypatch.setattr(metrics, "working_dtype", lambda _device: torch.float32)
    monkeypatch.setattr(metrics, "wide_dtype", lambda _device: wide)
    theirs = Reconstruction(6, 20)
    largest: list[int] = []
    with waits() as found, Largest(torch.float64, largest):
        for part in acts.split(9000):
            theirs.update(dictionary, part)
    assert not found
    assert max(largest) <= 7 * 6  # No float64 of whole activations.
    for name, value in ours.figures().items():
        assert theirs.figures()[name] == pytest.approx(value, rel=1e-5, abs=1e-6), name


def test_activations_of_half_precision_and_of_thousands_do_not_overflow() -> None:
    dictionary = make("topk")
    acts = (torch.randn(3000, 6, generator=torch.Generator().manual_seed(0)) * 9000 + 20_000).clamp(-65e3, 65e3).half()
    halves, floats = Reconstruction(6, 20), Reconstruction(6, 20)
    halves.update(dictionary, acts)
    floats.update(dictionary, acts.float())
    assert halves.figures() == floats.figures()
    assert all(np.isfinite(value) for value in halves.figures().values())


class Largest(TorchDispatchMode):
    """Notes the number of elements of every result of a dtype."""

    def __init__(self, dtype: torch.dtype, found: list[int]) -> None:
        super().__init__()
        self.dtype, self.found = dtype, found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == self.dtype:
            self.found.append(result.numel())
        return result
