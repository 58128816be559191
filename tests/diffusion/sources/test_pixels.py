"""Pixels of every kind as RGB."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from autointerp.diffusion.sources.picture_files import open_picture
from autointerp.diffusion.sources.pixels import from_floats, from_integers

RAMP = np.linspace(0, 1, 48 * 32).reshape(32, 48)
GREY = RAMP * 255


def opened(picture: Image.Image, form: str, **how: Any) -> tuple[np.ndarray, list[str]]:
    file, told = io.BytesIO(), list[str]()
    picture.save(file, form, **how)
    return np.asarray(open_picture(file.getvalue(), told=told.append), np.float64), told


@pytest.mark.parametrize(("most", "dtype"), [(1, np.float32), (255, np.float32), (65535, np.float32)])
def test_floats_are_scaled_by_the_range_that_they_fill(most: int, dtype: type) -> None:
    seen, told = opened(Image.fromarray((RAMP * most).astype(dtype)), "TIFF")
    assert np.abs(seen - GREY[..., None]).max() <= 1
    assert told == []
    # Overshoots of resampling are clipped.
    assert from_floats(np.array([[-0.05, 0.5, 1.05]]) * most).tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_bits_in_sixteen_are_those_that_are_used(bits: int, form: str) -> None:
    seen, told = opened(Image.fromarray((RAMP * (2**bits - 1)).round().astype(np.uint16)), form)
    assert np.abs(seen - GREY[..., None]).max() <= 1.01
    assert told == ([] if bits == 16 else [f"{bits} bits in 16"])


def test_whole_numbers_of_32_bits() -> None:
    told: list[str] = []
    assert from_integers(np.array([[0, 65535]], np.int32), told.append).tolist() == [[0, 255]]
    assert from_integers(np.array([[0, 2**31 - 1]], np.int32), told.append).tolist() == [[0, 127]]
    assert from_integers(np.full((1, 2), 257 * 9, np.uint16), told.append).tolist() == [[9, 9]]
    assert told == []
    with pytest.raises(ValueError, match="from -3 to 9"):
        from_integers(np.array([[-3, 9]], np.int32), told.append)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([0.0, np.nan], "not finite"),
        ([0.0, np.inf], "not finite"),
        ([-3.0, 2.0], "from -3 to 2"),
        ([-1.0, 1.0], "from -1 to 1"),
        ([0.0, 2.0], "from 0 to 2"),
        ([0, 1e6], "1e\\+06"),
    ],
)
def test_floats_of_no_range_are_refused(values: list[float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        from_floats(np.array([values]))


def test_other_spaces_of_color() -> None:
    color = (200, 60, 30)
    base = Image.new("RGB", (8, 8), color)
    lab = ImageCms.profileToProfile(
        base, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    for picture, form, how in [
        (base.convert("CMYK"), "JPEG", {"quality": 95}),  # Pillow writes it inverted, as Adobe does.
        (base.convert("CMYK"), "TIFF", {}),
        (base.convert("YCbCr"), "JPEG", {"quality": 95}),
        (lab, "TIFF", {}),
        (base.convert("P", palette=Image.Palette.ADAPTIVE), "PNG", {}),
    ]:
        seen, _ = opened(picture, form, **how)
        assert np.abs(seen - color).max() <= 8, (picture.mode, form)
    bits = Image.new("1", (8, 8), 0)
    bits.putpixel((0, 0), 1)
    assert opened(bits, "PNG")[0][0, 0].tolist() == [255, 255, 255]
    assert opened(bits, "PNG")[0][1, 1].tolist() == [0, 0, 0]


def test_transparency_lies_on_white() -> None:
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([10, 20, 30, 40, 50, 60])
    cases: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG", {}),
        (Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "WEBP", {"lossless": True, "exact": True}),
        (Image.new("LA", (8, 8), (0, 0)), "PNG", {}),
        (palette, "PNG", {"transparency": 0}),
        (palette, "PNG", {"transparency": bytes([0, 255])}),
        (palette, "GIF", {"transparency": 0}),
        (Image.new("RGB", (8, 8), (9, 9, 9)), "PNG", {"transparency": (9, 9, 9)}),
    ]
    for picture, form, how in cases:
        assert np.all(opened(picture, form, **how)[0] == 255), (picture.mode, form)
    half = opened(Image.new("RGBA", (8, 8), (0, 0, 0, 128)), "PNG")[0]
    assert np.all(np.abs(half - 127) <= 1)
