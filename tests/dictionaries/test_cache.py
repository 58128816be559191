from __future__ import annotations

from pathlib import Path

import pytest
import torch

from autointerp.dictionaries.cache import ActivationCache, check_budget, estimate_bytes
from autointerp.dictionaries.rounds import Round
from autointerp.errors import AutointerpError, UsageError


def test_what_was_written_is_read_and_of_nothing_else(tmp_path: Path) -> None:
    made = {"model": "shapes", "steps": [1]}
    cache = ActivationCache(tmp_path / "layer", made)
    given = Round(torch.randn(6, 3), torch.arange(24).reshape(6, 4))
    assert not cache.has(0, 2)
    cache.write(0, 2, given)
    again = ActivationCache(tmp_path / "layer", made)
    assert again.has(0, 2)
    assert not again.has(0, 3)
    assert torch.equal(again.read(0, 2).acts, given.acts)
    assert torch.equal(again.read(0, 2).places, given.places)
    with pytest.raises(UsageError, match=r"something else \(steps differ\)"):
        ActivationCache(tmp_path / "layer", {**made, "steps": [2]})


def test_damaged_files_are_one_line_each(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, {})
    cache.write(0, 1, Round(torch.zeros(2, 3), torch.zeros(2, 4, dtype=torch.int64)))
    (written,) = tmp_path.glob("*.safetensors")
    written.write_bytes(written.read_bytes()[:20])
    with pytest.raises(AutointerpError, match="is damaged: delete it"):
        cache.read(0, 1)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(AutointerpError, match="cannot read"):
        ActivationCache(tmp_path, {})


def test_a_cache_that_would_not_fit_is_refused_before_the_work(tmp_path: Path) -> None:
    needed = estimate_bytes(1000, [10, 20])
    assert needed == 1000 * (30 * 4 + 64)
    check_budget(tmp_path / "not" / "there", needed, None)
    with pytest.raises(UsageError, match="GB allowed"):
        check_budget(tmp_path, needed, 1e-9)
