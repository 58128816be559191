"""Pixels of every kind as RGB with eight bits: sixteen bits, floats, CMYK, CIELAB, palettes, transparency."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits that cameras and microscopes fill of the sixteen of a file."""

_RANGES = (1.0, 255.0, 65535.0)
"""What float values of white are."""


def to_rgb(picture: Any, told: Callable[[str], None]) -> Any:
    """Convert a loaded picture of Pillow to RGB, laid on white where it is transparent.

    Args:
        picture: The picture.
        told: Is told what was taken to mean something, each as a clause.

    Raises:
        ValueError: A value is not finite, or the range of the values is not known.
    """
    import numpy as np
    from PIL import Image

    if picture.mode == "F" or picture.mode.startswith("I"):
        values = np.asarray(picture)
        picture = Image.fromarray(from_floats(values) if picture.mode == "F" else from_integers(values, told))
    elif picture.mode == "LAB":
        picture = _from_lab(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def from_integers(values: np.ndarray, told: Callable[[str], None]) -> np.ndarray:
    """Scale whole numbers of up to 32 bits to eight; [rows, cols] uint8.

    A picture with values of 12 bits, say, in 16 would be black if all 16 were scaled: the depth is the least that holds
    its values. Values that are all alike show no depth, and are taken as of 16 bits.

    Raises:
        ValueError: A value is negative.
    """
    low, high = int(values.min()), int(values.max())
    if low < 0:
        raise ValueError(f"its values reach from {low} to {high}, which is no range of a picture")
    bits = 16 if low == high else next((bits for bits in _DEPTHS if high < 2**bits), 32)
    if high >= 2**16:
        bits = 32
    if bits not in (16, 32):
        told(f"{bits} bits in 16")
    if bits == 8:
        return values.astype("uint8")
    if bits == 16:
        return (values // 257).astype("uint8")
    return (values.astype("float64") * (255 / (2**bits - 1))).round().astype("uint8")


def from_floats(values: np.ndarray) -> np.ndarray:
    """Scale floats to eight bits by the range that they fill: 0 to 1, 0 to 255, or 0 to 65535; [rows, cols] uint8.

    A little beyond a range is an overshoot of resampling, and is clipped.

    Raises:
        ValueError: A value is not finite, or the values fill no such range.
    """
    import numpy as np

    if not np.isfinite(values).all():
        raise ValueError("it holds values that are not finite (NaN or infinity)")
    low, high = float(values.min()), float(values.max())
    most = next((most for most in _RANGES if high <= most * 1.1), None)
    # Light beyond white (0 to 2, say) is none of these: of 0 to 255 it would be black.
    if most is None or 1.1 < high < 4 or low < -0.1 * min(most, abs(high)):
        raise ValueError(f"its values reach from {low:g} to {high:g}; scale them to 0..1 or 0..255")
    return (values.astype("float64").clip(0, most) * (255 / most)).round().astype("uint8")


def _from_lab(picture: Any) -> Any:
    """Convert CIELAB to sRGB, which Pillow does by color management alone."""
    from PIL import ImageCms

    return ImageCms.profileToProfile(
        picture, ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), outputMode="RGB"
    )
