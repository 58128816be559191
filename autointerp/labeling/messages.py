"""The parts of a chat request: texts, pictures as data URIs, and the views of a crop that a VLM is shown."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from PIL import Image

    from autointerp.labeling.protocol import CropEvidence

Message = dict[str, Any]

_SIDE = 256


def image_part(image: Image.Image, form: Literal["webp", "png"] = "webp") -> Message:
    """A picture as an `image_url` content part with a data URI."""
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, form.upper(), **({"quality": 90, "method": 2} if form == "webp" else {}))
    data = base64.b64encode(buffer.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/{form};base64,{data}"}}


def text_part(text: str) -> Message:
    """A text as a content part."""
    return {"type": "text", "text": text}


def guess_tokens(messages: list[Message]) -> int:
    """A generous guess of the tokens of messages: a thousand an image, one per three characters of text."""
    total = 0
    for message in messages:
        content = message["content"]
        for part in [text_part(content)] if isinstance(content, str) else content:
            total += 1000 if part["type"] == "image_url" else len(part["text"]) // 3 + 8
    return total


def _enlarged(image: Image.Image) -> Image.Image:
    """A small picture enlarged, so that a VLM's patches do not swallow it; a large one as it is."""
    from PIL import Image as Pictures

    scale = max(1, round(_SIDE / max(image.size)))
    return image.resize((image.width * scale, image.height * scale), Pictures.Resampling.BICUBIC)


def whole_picture(crop: CropEvidence) -> list[Image.Image]:
    """The whole picture, unmarked."""
    return [_enlarged(crop.picture.convert("RGB"))]


def marked_views(crop: CropEvidence) -> list[Image.Image]:
    """The whole picture, and the same with all but the crop's box dimmed and the box outlined.

    A negative has no mark: the whole picture alone.
    """
    from PIL import Image as Pictures, ImageDraw

    picture = crop.picture.convert("RGB")
    if crop.cell is None:
        return whole_picture(crop)
    dimmed = Pictures.blend(picture, Pictures.new("RGB", picture.size, (0, 0, 0)), 0.55)
    dimmed.paste(picture.crop(crop.box), crop.box[:2])
    whole, marked = _enlarged(picture), _enlarged(dimmed)
    scale = whole.width / picture.width
    box = [round(v * scale) for v in crop.box]
    ImageDraw.Draw(marked).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=(255, 255, 255), width=2)
    return [whole, marked]


def marked_view(crop: CropEvidence) -> list[Image.Image]:
    """The whole picture with all but the crop's box dimmed and the box outlined, and nothing else."""
    return marked_views(crop)[-1:]


def heat_view(crop: CropEvidence) -> list[Image.Image]:
    """The whole picture under a blue map of where the feature fires; without a map, the box marked."""
    from autointerp.crops.render import render_heat

    if crop.activation_map is None:
        return marked_view(crop)
    return [render_heat(crop.picture, crop.activation_map, _SIDE)]
