"""Contact sheets: cards of features with their crops, and what such sheets are drawn with."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from autointerp.texts import visible

INK, SOFT, PAPER, CARD, LINE = (24, 28, 36), (104, 112, 126), (246, 247, 249), (255, 255, 255), (224, 227, 232)


def contact_sheet(
    rows: Sequence[tuple[str, str, Sequence[Image.Image]]],
    columns: int = 2,
    thumb: int = 104,
    heading: str = "",
    note: str = "",
) -> Image.Image:
    """Draw features side by side: for each a card with its name, a line about it, and its crops.

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
    """Paste a tile with rounded corners, and with a hair line around it if `line` is a colour."""
    big = 4  # Pillow does not smooth corners. A mask four times as large is drawn and reduced.
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
    """Return a text as it can be drawn, cut with an ellipsis where it is too long."""
    text = " ".join(visible(text).split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip(" ,.;:") + "..."
