"""Files of pictures: what their header shows, and the RGB picture, turned upright and cropped to a size."""

from __future__ import annotations

import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.diffusion.jobs import ImageJob
from autointerp.diffusion.sources.pixels import to_rgb
from autointerp.errors import AutointerpError
from autointerp.filetypes import PICTURE, text_type
from autointerp.hub import first_line
from autointerp.sizes import Size, parse_size, sides

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".apng", ".avif")
# Without a handler, Python would print what Pillow logs of a damaged file.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_ORIENTATION = 0x0112
_TURNS = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
"""What makes a picture of the EXIF orientations 2 to 8 upright."""


def load_picture(job: ImageJob, size: tuple[int, int]) -> Image.Image:
    """Load a job's picture, RGB, of this (width, height).

    Turn it as its camera says, lay it on white where it is transparent, scale it until it covers the size (Lanczos),
    and crop it equally at both ends.

    Raises:
        AutointerpError: The picture cannot be read, or has changed since the command began.
    """
    from PIL import Image, ImageOps

    assert job.picture is not None
    path = job.picture.path
    try:
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != job.picture.sha256:
            raise AutointerpError(f"{path} was changed while it was used", "run the command again")
        picture = open_picture(data)
    except (OSError, ValueError) as error:
        raise AutointerpError(
            f"the picture {path} cannot be read: {first_line(error)}", "mend it, or move it out of the folder"
        ) from None
    return ImageOps.fit(picture, size, Image.Resampling.LANCZOS)


def open_picture(
    data: bytes, draft: tuple[int, int] | None = None, told: Callable[[str], None] | None = None
) -> Image.Image:
    """Open a picture in RGB, upright; of several frames or pages the first.

    Args:
        data: The file's content.
        draft: A size at which a lower resolution will do, where the format opens it faster; None for the full one.
        told: Is told what was taken to mean something, each as a clause.

    Raises:
        OSError: The bytes are no picture.
        ValueError: The picture has too many pixels, or its content is damaged, or its range is not known.
    """
    if not data:
        raise ValueError("it is empty")
    if (found := text_type(data)) is not None and found != PICTURE:
        raise ValueError(f"it is {found.name}")
    with _opened(io.BytesIO(data)) as picture:
        if draft is not None:
            picture.draft("RGB", draft)
        # Pictures of telephones (MPO) hold several too, but the first is the photograph.
        several = told is not None and picture.format != "MPO" and getattr(picture, "is_animated", False)
        if told is not None and several:
            told("first page of several" if picture.format == "TIFF" else "first frame of an animation")
        picture.load()
        return _upright(to_rgb(picture, told or (lambda _: None)), _orientation(picture))


def picture_shape(path: Path) -> tuple[int, int]:
    """Read the (width, height) of the upright picture from its header; a square where that fails (see `check`)."""
    try:
        with _opened(path) as picture:
            width, height = picture.size
            turned = _orientation(picture) >= 5  # These EXIF orientations lie on their side.
            if picture.format == "TIFF" and picture.size != tuple(map(picture.tag_v2.get, (256, 257))):
                turned = False  # Pillow has the size of the upright picture already.
    except (OSError, ValueError):
        return 1, 1
    return (height, width) if turned else (width, height)


def unsupported(path: Path) -> str:
    """Return the format of a file of pictures that cannot be opened here, by its content; empty for any other file.

    Telephones and websites keep such content under the name of a JPEG too.
    """
    from PIL import features

    try:
        with path.open("rb") as file:
            begin = file.read(64)
    except OSError:
        return ""
    if begin[4:8] != b"ftyp":
        return "JPEG XL" if begin.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL ")) else ""
    if b"avif" in begin or b"avis" in begin:
        return "" if features.check("avif") else "AVIF"
    return "HEIC" if re.match(rb"hei|hev|mif1|msf1", begin[8:]) else "video"


def kept_size(shape: tuple[int, int], near: Size, cell: int) -> Size:
    """Return a size of about this shape (width, height) and about the area of `near`, in multiples of `cell`."""
    width, height = sides(near)
    scale = (width * height / (shape[0] * shape[1])) ** 0.5
    return parse_size(tuple(max(round(side * scale / cell), 1) * cell for side in shape))


@contextmanager
def _opened(file: Path | io.BytesIO) -> Iterator[Any]:
    """Open a picture with Pillow inside, without its warnings.

    Raises:
        OSError: The file is no picture, or is cut short.
        ValueError: Its content is damaged, or it has too many pixels.
    """
    import warnings

    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            # They name a line of Pillow, and no picture: of large pictures, of EXIF and of palettes.
            warnings.simplefilter("ignore")
            with Image.open(file) as picture:
                yield picture
    except UnidentifiedImageError:
        raise OSError("it is no picture that can be read") from None
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"it has more than {most} million pixels, so it is not opened; scale it down") from None
    except (OSError, ValueError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - each decoder fails at damaged files in ways of its own
        raise ValueError(f"its content is damaged ({type(error).__name__}: {first_line(error)})") from None


def _orientation(picture: Any) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where the EXIF cannot be read."""
    try:
        found = picture.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - EXIF is damaged in many ways, and a viewer shows such a picture as it lies
        return 1
    return found if isinstance(found, int) and 1 <= found <= 8 else 1


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Turn a picture of an EXIF orientation. No EXIF is written, since that of many cameras cannot be written again."""
    from PIL import Image

    if orientation == 1:
        return picture
    return picture.transpose(Image.Transpose[_TURNS[orientation - 2]])
