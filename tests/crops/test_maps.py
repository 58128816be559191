from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from autointerp.crops.maps import decode_map, encode_map

SIDES = st.integers(1, 40)


@given(rows=SIDES, cols=SIDES, seed=st.integers(0, 99), share=st.floats(0, 1))
def test_maps_come_back_as_they_were(rows, cols, seed, share) -> None:
    rng = np.random.default_rng(seed)
    dense = rng.gamma(1.0, 10.0, (rows, cols)).astype(np.float16).astype(np.float32)
    dense[rng.random((rows, cols)) < share] = 0
    data = encode_map(dense)
    assert np.array_equal(decode_map(data), dense)
    assert len(data) == 8 + 4 * np.count_nonzero(dense)


def test_a_map_keeps_every_active_cell_active_and_finite() -> None:
    back = decode_map(encode_map(np.array([[1e-30, 1e30, 0.0]], np.float32)))
    assert (back[0, :2] > 0).all()
    assert np.isfinite(back).all()
    assert back[0, 2] == 0


@pytest.mark.parametrize("data", [b"", b"\x01", encode_map(np.ones((2, 2), np.float32))[:-1]])
def test_damaged_maps_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="activation map"):
        decode_map(data)


def test_a_map_that_names_a_cell_outside_is_refused() -> None:
    with pytest.raises(ValueError, match="names cell"):
        decode_map(b"\x01\x00\x01\x00\x01\x00\x00\x00" + b"\x05\x00" + b"\x00\x3c")
