from __future__ import annotations

from typing import Any

import torch
from hypothesis import given, settings, strategies as st

from autointerp.dictionaries.normalize import Normalization
from tests.dictionaries.fits import config, figures, fit, synthetic


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(1e-3, 1e3), st.floats(-100, 100))
def test_folding_is_exact_in_double(seed: int, scale: float, shift: float) -> None:
    draw = torch.Generator().manual_seed(seed)
    normal = Normalization.scaled(
        torch.randn(5, generator=draw).double() + shift, torch.rand(5, generator=draw).double() * scale + 1e-3
    )
    W_enc, W_dec = torch.randn(5, 8, generator=draw).double(), torch.randn(8, 5, generator=draw).double()
    b_enc, b_dec = torch.randn(8, generator=draw).double(), torch.randn(5, generator=draw).double()
    x = torch.randn(6, 5, generator=draw).double() * normal.back * 3 + normal.mean
    inner = ((x - normal.mean) / normal.back - b_dec) @ W_enc + b_enc
    W_raw, b_raw, D_raw, b_out = normal.fold(W_enc, b_enc, W_dec, b_dec)
    assert torch.allclose((x - b_out) @ W_raw + b_raw, inner, rtol=1e-6, atol=1e-6)
    code = inner.clamp_min(0)
    assert torch.allclose(
        code @ D_raw + b_out, (code @ W_dec + b_dec) * normal.back + normal.mean, rtol=1e-9, atol=1e-9
    )


def test_a_dimension_that_never_moves_is_left_alone() -> None:
    acts = torch.randn(100, 3, generator=torch.Generator().manual_seed(0))
    acts[:, 1] = 4.0
    normal = Normalization.measure(acts)
    assert normal.back[1] == 1
    assert torch.equal(normal.apply(acts)[:, 1], torch.zeros(100))
    assert torch.isfinite(normal.apply(acts)).all()


def test_outlier_dimensions_kill_latents_only_without_normalisation() -> None:
    acts = synthetic(16_384, 0, outliers=2)[0]
    held_out = synthetic(4000, 1, outliers=2)[0]

    def alive(**more: Any) -> float:
        return 1 - figures(fit(acts, config(passes=3, **more)).dictionary(), held_out).dead_share

    assert config().normalize == "standard"
    default, whitened, without = alive(), alive(normalize="whiten"), alive(normalize="none")
    assert default > 0.9, (default, whitened)
    assert whitened > 0.9, (default, whitened)
    assert without < 0.5, without
