"""A file that people name is a picture, or one line says why it is not."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from autointerp.errors import AutointerpError
from autointerp.views.picture_files import read_picture


def test_a_picture_is_read(tmp_path: Path) -> None:
    Image.new("L", (6, 4), 7).save(tmp_path / "grey.png")
    picture = read_picture(tmp_path / "grey.png", "grey.png")
    assert (picture.size, picture.mode, picture.getpixel((0, 0))) == ((6, 4), "RGB", (7, 7, 7))


@pytest.mark.parametrize(
    ("name", "reason"),
    [("text.png", "it is no picture that can be read"), ("nowhere.png", "No such file"), (".", "Is a directory")],
)
def test_anything_else_is_one_line(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(AutointerpError, match=f"cannot read as given: {reason}"):
        read_picture(tmp_path / name, "as given")
