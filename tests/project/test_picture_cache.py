"""Pictures are decoded once, as long as they fit the cache."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from autointerp.project import picture_cache
from autointerp.project.picture_cache import PictureCache


def test_the_least_recently_used_pictures_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    def encoded(side: int) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", (side, side)).save(stream, "WEBP")
        return stream.getvalue()

    decoded: list[int] = []
    real = picture_cache.decode_picture

    def counting(data: bytes) -> Image.Image:
        picture = real(data)
        decoded.append(picture.width)
        return picture

    monkeypatch.setattr(picture_cache, "decode_picture", counting)
    cache = PictureCache(limit=2 * 3 * 8 * 8)
    first = cache.get(1, encoded(8))
    assert cache.get(1, encoded(8)) is first
    cache.get(2, encoded(8))
    cache.get(1, encoded(8))
    assert decoded == [8, 8]
    cache.get(3, encoded(8))  # takes the place of 2
    cache.get(1, encoded(8))
    assert decoded == [8] * 3
    cache.get(2, encoded(8))
    assert decoded == [8] * 4
    # A picture that is larger than the whole cache is decoded each time, and drops nothing.
    for _ in range(2):
        assert cache.get(4, encoded(16)).size == (16, 16)
    assert decoded == [8] * 4 + [16] * 2
    cache.get(2, encoded(8))
    assert decoded == [8] * 4 + [16] * 2
