"""A cache of decoded pictures: many crops lie in the same image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cachetools import LRUCache

from autointerp.crops.render import decode_picture

if TYPE_CHECKING:
    from PIL import Image

LIMIT_BYTES = 256 * 2**20


class PictureCache:
    """Decoded pictures by the image's id. Beyond a limit in bytes, the least recently used are dropped."""

    def __init__(self, limit: int = LIMIT_BYTES) -> None:
        self._pictures: LRUCache[int, Image.Image] = LRUCache(limit, getsizeof=_decoded_bytes)

    def get(self, image_id: int, data: bytes) -> Image.Image:
        """Return the picture of an image, decoded from its stored bytes if it is not in the cache."""
        picture = self._pictures.get(image_id)
        if picture is None:
            picture = decode_picture(data)
            if _decoded_bytes(picture) <= self._pictures.maxsize:
                self._pictures[image_id] = picture
        return picture


def _decoded_bytes(picture: Image.Image) -> int:
    """Return the size of a decoded picture, of three bytes a pixel."""
    return 3 * picture.width * picture.height
