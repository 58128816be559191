from __future__ import annotations

import json

import numpy as np
import pytest

from autointerp.experiments.packing import pack, unpack


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, bool])
def test_an_array_comes_back_through_json(dtype: type) -> None:
    array: np.ndarray = (np.arange(24).reshape(2, 3, 4) % 5).astype(dtype).transpose(2, 0, 1)
    back = unpack(json.loads(json.dumps(pack(array))))
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)
    assert unpack(pack(np.zeros((0, 3)))).shape == (0, 3)
