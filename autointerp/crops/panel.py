"""Pictures before and after a change, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from autointerp.crops.render import render_crop
from autointerp.crops.sheet import CARD, INK, LINE, PAPER, SOFT, fitted, paste_rounded

_LEAST, _MOST = 288, 1024
"""Bounds of a picture's longer side on the panel; small ones are enlarged."""


@dataclass(frozen=True)
class Panel:
    """A picture and the caption below it."""

    caption: str
    picture: Image.Image


def before_after(
    rows: Sequence[tuple[str, Sequence[Panel]]], heading: str, note: str, marked: np.ndarray | None = None
) -> Image.Image:
    """Draw rows of pictures of one size, each row with a line above it.

    Args:
        rows: (line, pictures) of each row; the first has the most pictures. An empty line takes no room.
        heading: A line above all.
        note: A smaller line below it.
        marked: bool [rows, cols] cells to outline in every picture.
    """
    gap, pad, margin = 10, 18, 24
    heading_font, font, small = ImageFont.load_default(24), ImageFont.load_default(15), ImageFont.load_default(13)
    tiles = [[_tile(panel.picture, marked) for panel in panels] for _, panels in rows]
    width, height = tiles[0][0].size
    inner = len(tiles[0]) * (width + gap) - gap
    said = [_wrapped(line, font, inner) if line else [] for line, _ in rows]
    notes = _wrapped(note, small, inner + 2 * pad)
    cards = [pad + 21 * len(lines) + 6 + height + 28 + 8 for lines in said]
    top = margin + 36 + 19 * len(notes) + 10
    size = (inner + 2 * pad + 2 * margin, top + sum(cards) + 14 * (len(cards) - 1) + margin)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((margin, margin - 4), fitted(heading, heading_font, inner + 2 * pad), INK, heading_font, stroke_width=0.3)
    for i, line in enumerate(notes):
        draw.text((margin, margin + 34 + 19 * i), line, SOFT, small)
    y = top
    for (_, panels), pictures, lines, card in zip(rows, tiles, said, cards, strict=True):
        paste_rounded(sheet, Image.new("RGB", (inner + 2 * pad, card), CARD), (margin, y), 12, LINE)
        for i, line in enumerate(lines):
            draw.text((margin + pad, y + pad - 5 + 21 * i), line, INK, font)
        below = y + pad + 21 * len(lines) + 6
        for i, (panel, tile) in enumerate(zip(panels, pictures, strict=True)):
            x = margin + pad + i * (width + gap)
            paste_rounded(sheet, tile, (x, below), 6)
            draw.text((x + 2, below + height + 6), fitted(panel.caption, font, width), SOFT, font)
        y += card + 14
    return sheet


def _tile(picture: Image.Image, marked: np.ndarray | None) -> Image.Image:
    side = min(max(max(picture.size), _LEAST), _MOST)
    outline = None if marked is None else marked.astype(np.float32)
    return render_crop(picture, (0, 0, *picture.size), outline, side=side)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, most: int = 3) -> list[str]:
    """Break a text into at most `most` lines that fit a width; the last one is cut."""
    lines: list[str] = []
    words = text.split(" ")
    while words and len(lines) < most - 1:
        taken = next(n for n in range(len(words), 0, -1) if n == 1 or font.getlength(" ".join(words[:n])) <= width)
        lines.append(fitted(" ".join(words[:taken]), font, width))
        words = words[taken:]
    return lines + ([fitted(" ".join(words), font, width)] if words else [])
