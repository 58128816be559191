from __future__ import annotations

import numpy as np
from hypothesis import given, strategies as st

from autointerp.crops.hashing import drawn_key, hashed, strongest_key


def splitmix64(state: int) -> int:
    """The first output of the reference generator, in Python's own integers."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_a_hash_is_splitmix_of_its_parts_on_every_machine() -> None:
    assert splitmix64(0) == 0xE220A8397B1DCDAF
    parts = np.array([0, 1, 2**40])
    expected = [splitmix64(splitmix64(7) ^ part) for part in parts.tolist()]
    assert hashed(7, parts).tolist() == expected
    assert len({int(h) for seed in range(20) for h in hashed(seed, np.arange(50))}) == 1000


def test_a_draw_is_even_over_images_and_differs_between_features() -> None:
    image = np.arange(4000)
    keys = [drawn_key(3, np.full(4000, feature), image) for feature in (0, 1)]
    first = [set(np.argsort(key)[:400].tolist()) for key in keys]
    assert abs(np.mean(list(first[0])) - 2000) < 200
    assert len(first[0] & first[1]) < 100
    assert (keys[0] & np.uint64(2**32 - 1)).tolist() == image.tolist()


@given(st.lists(st.tuples(st.floats(0, 1e6, width=32), st.integers(0, 99)), min_size=1, max_size=40))
def test_keys_sort_by_value_down_and_then_by_image(entries: list[tuple[float, int]]) -> None:
    values, images = (np.array(column) for column in zip(*entries, strict=True))
    order = np.argsort(strongest_key(values.astype(np.float32), images), kind="stable")
    assert [entries[i] for i in order] == sorted(entries, key=lambda entry: (-entry[0], entry[1]))
