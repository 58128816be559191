"""Rendering of crops: one function cuts and marks them, for labelers, galleries and exports alike."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from autointerp.crops.geometry import Box, cell_box
from autointerp.errors import AutointerpError

MARKED = 0.5
"""Cells with at least this share of the crop's highest activation are outlined."""
HEAT = (30, 60, 255)
_HEAT_ALPHA = 0.7
_LONGEST = 512


def encode_picture(picture: Image.Image, quality: int = 90) -> bytes:
    """Encode a picture as WebP, at most 512 px a side."""
    if max(picture.size) > _LONGEST:
        picture = ImageOps.contain(picture, (_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=quality, method=0)
    return buffer.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Read width and height of a stored picture, from its header alone."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def decode_picture(data: bytes) -> Image.Image:
    """Decode a stored picture to RGB.

    Raises:
        AutointerpError: The bytes are not those of a picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            return picture.convert("RGB")
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        raise AutointerpError(
            "the picture of an image does not decode", "`autointerp db check` says which; import or harvest it again"
        ) from None


def render_crop(
    picture: Image.Image,
    box: Box,
    activation_map: np.ndarray | None = None,
    cell: tuple[int, int] | None = None,
    mark: bool = True,
    side: int = 192,
    grid: tuple[int, int] | None = None,
) -> Image.Image:
    """Cut a crop out of its picture and outline where the feature fires in it.

    An outline leaves colour and texture inside visible, which a heat map would hide.

    Args:
        picture: The whole picture.
        box: What to show, in the picture's pixels.
        activation_map: float [rows, cols]; its cells of at least half the maximum are outlined.
        cell: (row, col) to outline if there is no map.
        mark: False shows the crop as it is.
        side: Longer side of the result in pixels.
        grid: (rows, cols) of the grid of `cell`; not needed with a map.

    Returns:
        RGB, of the box's aspect ratio.
    """
    left, top, right, bottom = box
    scale = side / max(right - left, bottom - top)
    size = (max(round((right - left) * scale), 1), max(round((bottom - top) * scale), 1))
    crop = picture.convert("RGB").resize(size, Image.Resampling.BICUBIC, box=box)
    if not mark:
        return crop
    if activation_map is not None and activation_map.max() > 0:
        on = activation_map >= MARKED * activation_map.max()
    elif cell is not None and grid is not None:
        on = np.zeros(grid, bool)
        on[cell] = True
    else:
        return crop

    def place(x: int, y: int) -> tuple[float, float]:
        return (x - left) * scale, (y - top) * scale

    lines = [(place(x0, y0), place(x1, y1)) for x0, y0, x1, y1 in _outline(on, picture.size)]
    draw = ImageDraw.Draw(crop)
    thin = max(round(side / 96), 1)
    # A light line on a dark one is visible on any background.
    for width, ink in ((3 * thin, (0, 0, 0)), (thin, (255, 255, 255))):
        half = width / 2
        for (x0, y0), (x1, y1) in lines:
            from_x, from_y = round(x0 - half), round(y0 - half)
            to_x, to_y = round(x1 - x0) + from_x + width - 1, round(y1 - y0) + from_y + width - 1
            draw.rectangle((from_x, from_y, to_x, to_y), fill=ink)
    return crop


def _outline(on: np.ndarray, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Return the sides between cells that are on and cells that are off: (x0, y0, x1, y1) in pixels of the picture."""
    rows, cols = on.shape
    padded = np.pad(on, 1)
    lines = []
    for row, col in np.argwhere(on).tolist():
        left, top, right, bottom = cell_box((row, col), (rows, cols), size)
        around = ((row, col + 1), (row + 2, col + 1), (row + 1, col), (row + 1, col + 2))
        level = ((left, top, right, top), (left, bottom, right, bottom))
        upright = ((left, top, left, bottom), (right, top, right, bottom))
        lines += [line for line, at in zip(level + upright, around, strict=True) if not padded[at]]
    return lines


def render_heat(picture: Image.Image, activation_map: np.ndarray, side: int = 192) -> Image.Image:
    """Paint the activation map over the whole picture in blue, with the root of the activation as opacity.

    Args:
        picture: The whole picture.
        activation_map: float [rows, cols], non-negative.
        side: Longer side of the result in pixels.
    """
    base, share = _under_map(picture, activation_map, side)
    alpha = Image.fromarray((255 * _HEAT_ALPHA * share).astype(np.uint8))
    return Image.composite(Image.new("RGB", base.size, HEAT), base, alpha.resize(base.size, Image.Resampling.BILINEAR))


def render_glow(picture: Image.Image, activation_map: np.ndarray, side: int = 192) -> Image.Image:
    """Darken the picture where the feature is silent, and paint it from red to yellow where the feature fires.

    People see these colours on any picture, unlike a single colour. The gallery's script paints the same.

    Args:
        picture: The whole picture.
        activation_map: float [rows, cols], non-negative.
        side: Longer side of the result in pixels.
    """
    base, share = _under_map(picture, activation_map, side)
    glow = np.full((*activation_map.shape, 4), (12, 12, 28, 105), np.float64)
    fires = activation_map > 0
    for channel, value in enumerate((255 + 0 * share, 40 + 180 * share**2, 30 + 0 * share, 70 + 110 * share)):
        glow[fires, channel] = value[fires]
    layer = Image.fromarray(glow.round().astype(np.uint8), "RGBA").resize(base.size, Image.Resampling.BILINEAR)
    return Image.alpha_composite(base.convert("RGBA"), layer).convert("RGB")


def _under_map(picture: Image.Image, activation_map: np.ndarray, side: int) -> tuple[Image.Image, np.ndarray]:
    """Return the picture at its size, and the root of each cell's share of the highest activation [rows, cols]."""
    base = ImageOps.contain(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    peak = float(activation_map.max())
    share = np.sqrt(np.clip(activation_map / peak, 0, 1)) if peak > 0 else np.zeros(activation_map.shape)
    return base, share
