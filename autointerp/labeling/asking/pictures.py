"""Pictures of a request as a model on this machine takes them: in memory, and known by a digest of their pixels."""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from autointerp.errors import UsageError
from autointerp.labeling.asking.protocol import Message

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Picture:
    """A picture in RGB; pictures with the same pixels have the same digest."""

    image: Image.Image
    digest: str

    @classmethod
    def of(cls, image: Image.Image) -> Picture:
        """Take a picture of any mode."""
        image = image if image.mode == "RGB" else image.convert("RGB")
        digest = hashlib.blake2b(f"{image.size}".encode(), digest_size=16)
        digest.update(image.tobytes())
        return cls(image, digest.hexdigest())


def pictures_of(messages: Sequence[Message]) -> list[Picture]:
    """Return the pictures of a request in their order.

    Raises:
        UsageError: An `image_url` is no data URI of a picture.
    """
    found = []
    for message in messages:
        if isinstance(message["content"], str):
            continue
        for part in message["content"]:
            if part["type"] == "image":
                found.append(part["image"])
            elif part["type"] == "image_url":
                found.append(Picture.of(_decoded(part["image_url"]["url"])))
    return found


def _decoded(uri: str) -> Image.Image:
    """Return the picture of a data URI.

    Raises:
        UsageError: It holds no picture.
    """
    from PIL import Image, UnidentifiedImageError

    head, _, data = uri.partition(";base64,")
    try:
        if not head.startswith("data:image/"):
            raise ValueError("it is no data URI of an image")
        with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as picture:
            return picture.convert("RGB")
    except (ValueError, binascii.Error, UnidentifiedImageError, OSError) as error:
        raise UsageError(f"an image cannot be read: {error}", "send pictures as data URIs") from error
