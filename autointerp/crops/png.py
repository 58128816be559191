"""A PNG file that a command writes at its end, refused at its beginning if it could not be written."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.errors import UsageError
from autointerp.files import whole_file

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class PngFile:
    """A place for a picture. It is checked when it is named, so that no picture is generated in vain.

    Raises:
        UsageError: The path is a folder, lies in no folder, or does not end in `.png`.
    """

    path: Path

    def __post_init__(self) -> None:
        path = self.path
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "name a PNG file in it")
        if path.suffix.lower() != ".png":
            raise UsageError(f"{path} is not named as a PNG", f"write {path.with_suffix('.png').name}")
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent}", "make it, or name another one")

    def write(self, picture: Image.Image) -> Path:
        """Write the picture, in the place of an earlier one; return the path.

        Raises:
            AutointerpError: The file cannot be written.
        """
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        with whole_file(self.path, hint="name another file") as partial:
            partial.write_bytes(buffer.getvalue())
        return self.path
