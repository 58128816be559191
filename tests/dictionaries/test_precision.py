from __future__ import annotations

import pytest
import torch

from autointerp.dictionaries import precision


def test_sums_are_in_float64_where_a_device_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_size: int, dtype: torch.dtype, device: str) -> torch.Tensor:
        assert (dtype, device) == (torch.float64, "mps")
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype")

    assert precision.wide_dtype(torch.device("cpu")) == torch.float64
    precision.has_float64.cache_clear()
    monkeypatch.setattr(torch, "zeros", refuse)
    assert precision.wide_dtype(torch.device("mps")) == torch.float32
    monkeypatch.undo()
    precision.has_float64.cache_clear()


def test_a_processor_alone_computes_in_float64() -> None:
    assert precision.working_dtype(torch.device("cpu")) == torch.float64
    assert precision.working_dtype(torch.device("cuda")) == torch.float32
