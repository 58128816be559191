"""Picture sizes, written in one way."""

from __future__ import annotations

import pytest

from autointerp.errors import UsageError
from autointerp.sizes import parse_size, sides


def test_a_size_is_written_in_one_way() -> None:
    assert [parse_size(v) for v in (64, "64", "64x64", (64, 64), " 96X64 ", [96, 64])] == [64] * 4 + ["96x64"] * 2
    assert sides(64) == (64, 64)
    assert sides("96x64") == (96, 64)
    for wrong in (0, -8, 1.5, True, "big", "64x", "64x64x3", (64,), "0x8", None):
        with pytest.raises(UsageError, match="cannot be"):
            parse_size(wrong)
