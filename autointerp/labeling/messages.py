"""The parts of a chat request: texts, pictures as data URIs, and the views of a crop that a VLM is shown."""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from autointerp.labeling.prices import PICTURE_TOKENS

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.labeling.protocol import CropEvidence

Message = dict[str, Any]

Mark = Literal["dim", "outline", "heat"]
"""How the place is marked where a feature fires, see `marked_view`."""
TOLD: dict[Mark, str] = {
    "dim": "it is outlined in white, and what is far from it is dimmed",
    "outline": "it is outlined in white, and so is its surrounding",
    "heat": "a blue map lies over it, the bluer the more the feature fires",
}
"""What a VLM is told of each mark."""

PictureForm = Literal["jpeg", "webp", "png"]
"""How pictures are sent. JPEG is what every server reads, and a tenth of the work of WebP, at up to twice its bytes."""
_SAVED: dict[PictureForm, dict[str, Any]] = {"jpeg": {"quality": 90}, "webp": {"quality": 90, "method": 2}, "png": {}}

_SIDE = 256
_TILE = 192
_DIMMED = 0.55
_LINE = 3


def image_part(image: Image.Image, form: PictureForm = "jpeg") -> Message:
    """A picture as an `image_url` content part with a data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form.upper(), **_SAVED[form])
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{form};base64,{data}"}}


def text_part(text: str) -> Message:
    """A text as a content part."""
    return {"type": "text", "text": text}


def shown(
    items: Sequence[tuple[str, Sequence[Image.Image]]], form: PictureForm = "jpeg", sheet: bool = False
) -> list[Message]:
    """Pictures below their headings as content parts; with `sheet` as tiles of one picture, which some servers need."""
    if not sheet:
        parts: list[Message] = []
        for heading, views in items:
            parts.append(text_part(heading))
            parts += [image_part(view, form) for view in views]
        return parts
    from autointerp.crops.render import contact_sheet

    told = (
        "All images are tiles of this one picture. Each stands below its heading, and two of one heading side by side."
    )
    tiles = [(heading.rstrip(":"), "", views) for heading, views in items]
    columns = max(round(len(items) ** 0.5), 1)
    return [text_part(told), image_part(contact_sheet(tiles, columns, _TILE), form)]


def guess_tokens(messages: list[Message], picture: int = PICTURE_TOKENS) -> int:
    """A generous guess of the tokens of messages: so many a picture, one per three characters of text."""
    total = 0
    for message in messages:
        content = message["content"]
        for part in [text_part(content)] if isinstance(content, str) else content:
            total += picture if part["type"] == "image_url" else len(part["text"]) // 3 + 8
    return total


def _enlarged(image: Image.Image) -> Image.Image:
    """A small picture enlarged, so that a VLM's patches do not swallow it; a large one as it is."""
    from PIL import Image as Pictures

    scale = max(1, round(_SIDE / max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Pictures.Resampling.BICUBIC)


def whole_picture(crop: CropEvidence) -> list[Image.Image]:
    """The whole picture, unmarked."""
    return [_enlarged(crop.picture.convert("RGB"))]


class WholePictures:
    """Whole pictures as content parts. Many features show the same ones, and encoding is what takes the time."""

    def __init__(self, limit: int = 64 * 2**20) -> None:
        """Take how many bytes of parts are kept; the least recently used go first."""
        self._limit, self._held, self._lock = limit, 0, threading.Lock()
        self._parts: OrderedDict[tuple[int, str], list[Message]] = OrderedDict()

    def parts(self, crop: CropEvidence, form: PictureForm) -> list[Message]:
        """The parts that show a crop's whole picture."""
        key = (crop.image_id, form)
        with self._lock:
            if key in self._parts:
                self._parts.move_to_end(key)
                return self._parts[key]
        parts = [image_part(view, form) for view in whole_picture(crop)]
        with self._lock:
            if key not in self._parts:
                self._parts[key] = parts
                self._held += _size(parts)
            while self._held > self._limit and len(self._parts) > 1:
                self._held -= _size(self._parts.popitem(last=False)[1])
        return parts


def _size(parts: list[Message]) -> int:
    return sum(len(part["image_url"]["url"]) for part in parts)


def marked_view(crop: CropEvidence, mark: Mark = "dim") -> list[Image.Image]:
    """The whole picture, marked where the feature fires, and nothing else.

    `dim`: the cell is outlined, and what lies beyond the crop's box is dimmed. `outline`: the cell and the box are
    outlined, which leaves all colours as they are. `heat`: a blue map of the activations; without a map, as `dim`.
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


def _outline(draw: Any, box: tuple[int, int, int, int], scale: float) -> None:
    """A white line around a box, and a dark one around that, so that it shows on any ground; the inside stays whole."""
    left, top, right, bottom = (round(v * scale) for v in box)
    for away, width, color in ((_LINE + 1, 1, (0, 0, 0)), (_LINE, _LINE, (255, 255, 255))):
        draw.rectangle((left - away, top - away, right - 1 + away, bottom - 1 + away), outline=color, width=width)
