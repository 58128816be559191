"""Parts of a chat request: texts, pictures as data URIs, and the views of a crop that a VLM is shown."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Hashable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from cachetools import LRUCache

from autointerp.labeling.asking.pictures import Picture
from autointerp.labeling.asking.prices import PICTURE_TOKENS
from autointerp.labeling.asking.protocol import Message

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.labeling.protocol import CropEvidence

Mark = Literal["dim", "outline", "heat"]
"""How the place where a feature fires is marked, see `marked_view`."""
TOLD: dict[Mark, str] = {
    "dim": "it is outlined in white, and what is far from it is dimmed",
    "outline": "it is outlined in white, and so is its surrounding",
    "heat": "a blue map lies over it, the bluer the more the feature fires",
}
"""How each mark is described to a VLM."""

PictureForm = Literal["jpeg", "webp", "png", "pixels"]
"""Format of pictures. Every server reads JPEG, which takes a tenth of the work of WebP, at up to twice the bytes. A
model in this process takes the pixels as they are."""
_SAVED: dict[PictureForm, dict[str, Any]] = {"jpeg": {"quality": 90}, "webp": {"quality": 90, "method": 2}, "png": {}}

_SIDE = 256
"""Pixels to which a small picture is enlarged, about."""
_TILE = 192
"""Pixels of a tile of a sheet."""
_DIMMED = 0.55
"""Share of black that is mixed into the dimmed part of a picture."""
_LINE = 3
"""Pixels of an outline."""


def image_part(image: Image.Image, form: PictureForm = "jpeg") -> Message:
    """Return a picture as an `image_url` content part with a data URI, or as an `image` part with its pixels."""
    if form == "pixels":
        return {"type": "image", "image": Picture.of(image)}
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form.upper(), **_SAVED[form])
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{form};base64,{data}"}}


def text_part(text: str) -> Message:
    """Return a text as a content part."""
    return {"type": "text", "text": text}


def shown(
    items: Sequence[tuple[str, Sequence[Image.Image]]], form: PictureForm = "jpeg", sheet: bool = False
) -> list[Message]:
    """Return pictures and their headings as content parts; with `sheet` as tiles of one picture, for some servers."""
    if not sheet:
        parts: list[Message] = []
        for heading, views in items:
            parts.append(text_part(heading))
            parts += [image_part(view, form) for view in views]
        return parts
    from autointerp.crops.sheet import contact_sheet

    told = (
        "All images are tiles of this one picture. Each stands below its heading, and two of one heading side by side."
    )
    tiles = [(heading.rstrip(":"), "", views) for heading, views in items]
    columns = max(round(len(items) ** 0.5), 1)
    return [text_part(told), image_part(contact_sheet(tiles, columns, _TILE), form)]


def guess_tokens(messages: list[Message], picture: int = PICTURE_TOKENS) -> int:
    """Guess the tokens of messages generously: `picture` tokens a picture, one token per three characters of text."""
    total = 0
    for message in messages:
        content = message["content"]
        for part in [text_part(content)] if isinstance(content, str) else content:
            total += len(part["text"]) // 3 + 8 if part["type"] == "text" else picture
    return total


def _enlarged(image: Image.Image) -> Image.Image:
    """Enlarge a small picture, so that its details are larger than a VLM's patches; return a large one as it is."""
    from PIL import Image as Pictures

    scale = max(1, round(_SIDE / max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Pictures.Resampling.BICUBIC)


def whole_picture(crop: CropEvidence) -> list[Image.Image]:
    """Return the whole picture without a mark."""
    return [_enlarged(crop.picture.convert("RGB"))]


class KeptPictures:
    """Pictures as content parts. They are kept, because many features or names share pictures and encoding is slow."""

    def __init__(self, limit: int = 64 * 2**20) -> None:
        """Keep at most `limit` bytes of parts; the least recently used go first."""
        self._lock = threading.Lock()
        self._parts: LRUCache[Hashable, list[Message]] = LRUCache(limit, _size)

    def parts(self, crop: CropEvidence, form: PictureForm, mark: Mark | None = None) -> list[Message]:
        """Return the parts that show a crop's whole picture. Threads may ask at the same time.

        Args:
            crop: The crop. With a mark it has no activation map, so that its cell alone is marked.
            form: Format of the picture.
            mark: How the crop's cell is marked; None for no mark.
        """
        key = (crop.image_id, form, mark, crop.cell if mark else None)
        with self._lock:
            known = self._parts.get(key)
        if known is not None:
            return known
        views = whole_picture(crop) if mark is None else marked_view(crop, mark)
        parts = [image_part(view, form) for view in views]
        # A picture that is larger than the whole cache is not kept.
        with self._lock, suppress(ValueError):
            self._parts[key] = parts
        return parts


def _size(parts: list[Message]) -> int:
    """Return the bytes of parts that are pictures."""
    sizes = []
    for part in parts:
        pixels = part["image"].image if part["type"] == "image" else None
        sizes.append(len(part["image_url"]["url"]) if pixels is None else 3 * pixels.width * pixels.height)
    return sum(sizes)


def marked_view(crop: CropEvidence, mark: Mark = "dim") -> list[Image.Image]:
    """Return the whole picture, marked where the feature fires.

    Args:
        crop: The crop.
        mark: `dim` outlines the cell and dims the picture beyond the crop's box. `outline` outlines the cell and the
            box, and keeps all colours. `heat` lays a blue map of the activations over the picture; without a map it is
            as `dim`.
    """
    from PIL import Image as Pictures, ImageDraw

    from autointerp.crops.geometry import cell_box
    from autointerp.crops.render import render_heat

    if mark == "heat" and crop.activation_map is not None:
        return [render_heat(crop.picture, crop.activation_map, _SIDE)]
    picture = crop.picture.convert("RGB")
    shown = picture
    if mark != "outline":
        shown = Pictures.blend(picture, Pictures.new("RGB", picture.size, (0, 0, 0)), _DIMMED)
        shown.paste(picture.crop(crop.box), crop.box[:2])
    shown = _enlarged(shown)
    draw, scale = ImageDraw.Draw(shown), shown.width / picture.width
    if mark == "outline":
        _outline(draw, crop.box, scale)
    if crop.cell is not None:
        _outline(draw, cell_box(crop.cell, crop.grid, picture.size), scale)
    return [shown]


def mapped_view(crop: CropEvidence, mark: Mark = "dim") -> list[Image.Image]:
    """Return the whole picture, marked in all cells in which the feature is active.

    Args:
        crop: A crop with a map. Without one, or of a token without a place, it is shown as by `marked_view`.
        mark: `dim` outlines the active cells and dims all others, `outline` keeps all colours, and `heat` is as for
            `marked_view`.
    """
    from PIL import Image as Pictures, ImageDraw, ImageFilter

    from autointerp.crops.geometry import cell_box

    active = crop.active
    if mark == "heat" or active is None or crop.grid == (1, 1):
        return marked_view(crop, mark)
    picture = crop.picture.convert("RGB")
    shown = _enlarged(picture)
    inside = Pictures.new("L", shown.size, 0)
    draw, scale = ImageDraw.Draw(inside), shown.width / picture.width
    for row, col in zip(*active.nonzero(), strict=True):
        left, top, right, bottom = (round(v * scale) for v in cell_box((int(row), int(col)), crop.grid, picture.size))
        draw.rectangle((left, top, right - 1, bottom - 1), fill=255)
    if mark == "dim":
        shown = Pictures.composite(shown, Pictures.blend(shown, Pictures.new("RGB", shown.size), _DIMMED), inside)
    for width, color in ((_LINE + 1, (0, 0, 0)), (_LINE, (255, 255, 255))):
        around = inside.filter(ImageFilter.MaxFilter(2 * width + 1))
        around.paste(0, mask=inside)
        shown.paste(color, mask=around)
    return [shown]


def _outline(draw: Any, box: tuple[int, int, int, int], scale: float) -> None:
    """Draw a white line around a box and a dark line around that, to be seen on any colour; the inside is unchanged."""
    left, top, right, bottom = (round(v * scale) for v in box)
    for away, width, color in ((_LINE + 1, 1, (0, 0, 0)), (_LINE, _LINE, (255, 255, 255))):
        draw.rectangle((left - away, top - away, right - 1 + away, bottom - 1 + away), outline=color, width=width)
