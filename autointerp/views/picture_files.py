"""Pictures that people name by their file, to search by or to explain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import AutointerpError
from autointerp.hub import first_line

if TYPE_CHECKING:
    from PIL import Image


def read_picture(path: Path, shown_as: str) -> Image.Image:
    """Read the picture in a file, RGB.

    Args:
        path: The file.
        shown_as: The file's name in errors, as it was given.

    Raises:
        AutointerpError: The file cannot be read, or holds no picture.
    """
    from autointerp.diffusion.sources.picture_files import open_picture

    try:
        return open_picture(path.read_bytes())
    except (OSError, ValueError) as error:
        # Pillow's own errors are OSError without a system's reason.
        reason = (
            error.strerror if isinstance(error, OSError) else first_line(error)
        ) or "it is no picture that can be read"
        raise AutointerpError(f"cannot read {shown_as}: {reason}", "name the file of a picture") from None
