"""How crops look: one function cuts and marks them, for labelers, galleries and exports alike."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from autointerp.crops.geometry import Box, cell_box
from autointerp.errors import AutointerpError
from autointerp.texts import visible

MARKED = 0.5
"""Cells from this share of the crop's highest activation on are outlined."""
HEAT = (30, 60, 255)
_HEAT_ALPHA = 0.7
_LONGEST = 512

INK, SOFT, PAPER, CARD, LINE = (24, 28, 36), (104, 112, 126), (246, 247, 249), (255, 255, 255), (224, 227, 232)


def encode_picture(picture: Image.Image, quality: int = 90) -> bytes:
    """A picture as WebP, at most 512 px a side."""
    if max(picture.size) > _LONGEST:
        picture = ImageOps.contain(picture, (_LONGEST, _LONGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "WEBP", quality=quality, method=0)
    return buffer.getvalue()


def picture_size(data: bytes) -> tuple[int, int]:
    """Width and height of a stored picture, from its header alone."""
    with Image.open(io.BytesIO(data)) as picture:
        return picture.size


def decode_picture(data: bytes) -> Image.Image:
    """The picture, RGB.

    Raises:
        AutointerpError: These are no bytes of a picture.
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

    An outline leaves colour and texture inside as they are, which a heat map would hide.

    Args:
        picture: The whole picture.
        box: What to show, in the picture's pixels.
        activation_map: float [rows, cols]; its cells of at least half the maximum are outlined.
        cell: (row, col) to outline if there is no map.
        mark: False shows the crop as it is.
        side: Longer side of the result in pixels.
        grid: (rows, cols) that `cell` counts in; not needed with a map.

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
    # Dark under light is seen on any ground.
    for width, ink in ((3 * thin, (0, 0, 0)), (thin, (255, 255, 255))):
        half = width / 2
        for (x0, y0), (x1, y1) in lines:
            from_x, from_y = round(x0 - half), round(y0 - half)
            to_x, to_y = round(x1 - x0) + from_x + width - 1, round(y1 - y0) + from_y + width - 1
            draw.rectangle((from_x, from_y, to_x, to_y), fill=ink)
    return crop


def _outline(on: np.ndarray, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """Sides between cells that are on and cells that are not, (x0, y0, x1, y1) in pixels of the picture."""
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
    """The whole picture under its activation map in blue, opacity as the root of the activation.

    Args:
        picture: The whole picture.
        activation_map: float [rows, cols], non-negative.
        side: Longer side of the result in pixels.
    """
    base, share = _under_map(picture, activation_map, side)
    alpha = Image.fromarray((255 * _HEAT_ALPHA * share).astype(np.uint8))
    return Image.composite(Image.new("RGB", base.size, HEAT), base, alpha.resize(base.size, Image.Resampling.BILINEAR))


def render_glow(picture: Image.Image, activation_map: np.ndarray, side: int = 192) -> Image.Image:
    """The whole picture for people: darkened where the feature is silent, from red to yellow where it fires.

    Unlike one colour alone it is seen on any picture. The gallery's script paints the same.

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
    """The picture at its size, and the root of each cell's share of the highest activation, float [rows, cols]."""
    base = ImageOps.contain(picture.convert("RGB"), (side, side), Image.Resampling.BICUBIC)
    peak = float(activation_map.max())
    share = np.sqrt(np.clip(activation_map / peak, 0, 1)) if peak > 0 else np.zeros(activation_map.shape)
    return base, share


def contact_sheet(
    rows: Sequence[tuple[str, str, Sequence[Image.Image]]],
    columns: int = 2,
    thumb: int = 104,
    heading: str = "",
    note: str = "",
) -> Image.Image:
    """Features side by side: a card each, with its name, a line about it, and its crops.

    Args:
        rows: (title, subtitle, crops) of each feature; crops of any size.
        columns: Cards beside each other.
        thumb: Side of a crop on the sheet in pixels.
        heading: A line above all.
        note: A smaller line below it.
    """
    columns = max(min(columns, len(rows)), 1)
    most = max((len(images) for _, _, images in rows), default=1)
    gap, pad, margin = 6, 16, 28
    title_font, small_font = ImageFont.load_default(19), ImageFont.load_default(13)
    inner = max(most * (thumb + gap) - gap, 300)
    card = (inner + 2 * pad, pad + 26 + 22 + thumb + pad)
    lines = -(-len(rows) // columns)
    top = margin + (40 if heading else 0) + (24 if note else 0) + (10 if heading or note else 0)
    gutter = 18
    width = 2 * margin + columns * card[0] + (columns - 1) * gutter
    height = top + lines * card[1] + max(lines - 1, 0) * gutter + margin
    sheet = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(sheet)
    y = margin
    if heading:
        draw.text((margin, y), visible(heading), INK, ImageFont.load_default(28), stroke_width=0.3)
        y += 40
    if note:
        draw.text((margin, y), fitted(note, small_font, width - 2 * margin), SOFT, small_font)
    for i, (title, subtitle, images) in enumerate(rows):
        x = margin + i % columns * (card[0] + gutter)
        y = top + i // columns * (card[1] + gutter)
        paste_rounded(sheet, Image.new("RGB", card, CARD), (x, y), 12, LINE)
        draw.text((x + pad, y + pad - 5), fitted(title, title_font, inner), INK, title_font, stroke_width=0.25)
        draw.text((x + pad, y + pad + 22), fitted(subtitle, small_font, inner), SOFT, small_font)
        for j, image in enumerate(images):
            tile = ImageOps.fit(image.convert("RGB"), (thumb, thumb), Image.Resampling.LANCZOS)
            paste_rounded(sheet, tile, (x + pad + j * (thumb + gap), y + pad + 48), 6)
    return sheet


def paste_rounded(
    sheet: Image.Image, tile: Image.Image, at: tuple[int, int], radius: int, line: tuple[int, int, int] | None = None
) -> None:
    """Paste with rounded corners, and a hair line around if `line` is a colour."""
    big = 4  # Pillow does not smooth corners; a mask four times as large, reduced, does.
    w, h = tile.size
    mask = Image.new("L", (w * big, h * big), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, w * big - 1, h * big - 1), radius * big, fill=255)
    mask = mask.resize(tile.size, Image.Resampling.LANCZOS)
    if line:
        sheet.paste(Image.new("RGB", tile.size, line), at, mask)
        inset = tile.crop((1, 1, w - 1, h - 1))
        paste_rounded(sheet, inset, (at[0] + 1, at[1] + 1), radius - 1)
        return
    sheet.paste(tile, at, mask)


def fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text as it can be drawn, cut with an ellipsis where it is too long."""
    text = " ".join(visible(text).split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip(" ,.;:") + "..."
